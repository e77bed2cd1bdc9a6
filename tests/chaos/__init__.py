"""Faults on the real servers while learners learn, and the independent verifier that judges what they have left behind."""
