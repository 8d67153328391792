"""Through which outside senders can a message leave?"""
