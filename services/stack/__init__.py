"""The local stack: real servers and all roles on one machine."""
