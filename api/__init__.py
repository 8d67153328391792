"""How are commands and queries reached over HTTP?"""
