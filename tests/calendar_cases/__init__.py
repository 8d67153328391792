"""Does every case of the calendar go by its rule, alone and through the planner?"""
