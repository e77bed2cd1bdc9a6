"""The local stack: servers, roles and the commands that start and stop them."""
