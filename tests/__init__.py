"""Does the system do what it promises?"""
