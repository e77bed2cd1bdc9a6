"""Servers that ask who comes, and what each may do."""
