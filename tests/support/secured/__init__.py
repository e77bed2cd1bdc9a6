"""Real servers with TLS, passwords and permissions."""
