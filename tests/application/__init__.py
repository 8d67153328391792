"""Use cases and process managers on fakes."""
