"""Which occasions does a person have, and what does each message say?"""
