"""How many connections there may be at once, and how often they may come."""
