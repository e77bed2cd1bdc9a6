"""The relay role."""
