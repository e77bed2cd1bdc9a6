"""The processor role."""
