"""The pure core: every rule of missions, with no I/O, clock or randomness of its own."""
