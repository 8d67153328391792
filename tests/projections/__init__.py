"""Each read model told events on a real PostgreSQL."""
