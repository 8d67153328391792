"""Which facts and rules make up the business, free of any input or output?"""
