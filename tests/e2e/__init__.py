"""All of it at once: real processes on real servers."""
