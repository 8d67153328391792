"""Does every adapter of a port keep the one promise?"""
