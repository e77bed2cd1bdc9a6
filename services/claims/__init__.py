"""The claims role."""
