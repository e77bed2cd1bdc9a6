"""The mission system: a pure core, its adapters, and one folder a role."""
