"""From a library and problems to navigator and executor weights."""
