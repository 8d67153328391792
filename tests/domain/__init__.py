"""Do the rules of the business hold, with nothing else around them?"""
