"""How does Ninebell answer over HTTP?"""
