"""Tests of the outermost ring."""
