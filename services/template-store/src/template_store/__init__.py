"""The template store: holds, checks and retrieves thought templates."""
