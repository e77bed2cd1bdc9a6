"""The simulator: the real handlers on servers in memory, under a seeded scheduler that does to them what can be done to them."""
