"""The fault matrix: is nothing lost and nothing sent twice, whatever breaks while 5,000 messages are due?"""
