"""Many templates at once: import and export, and the public v1 library's format."""
