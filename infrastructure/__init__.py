"""Which real stores, buses, senders and clocks fulfil the ports?"""
