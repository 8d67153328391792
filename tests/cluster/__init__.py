"""Several machines on one: each a network namespace."""
