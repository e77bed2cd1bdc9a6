"""The `missions` command."""
