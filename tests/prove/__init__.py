"""What takes minutes to prove: every zone, any life over a year, a decade of ten thousand people."""
