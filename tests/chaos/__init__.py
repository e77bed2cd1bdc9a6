"""Faults on the real servers, and the independent verifier that judges what they have left behind."""
