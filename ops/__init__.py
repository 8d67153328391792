"""What runs: settings, wiring, processes and the command line?"""
