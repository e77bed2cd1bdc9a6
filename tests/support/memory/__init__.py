"""Servers in memory, below the real adapters: what the driver would ask of Postgres, Redis and Kafka is answered here."""

from . import statements_batch, statements_records, statements_relay, statements_users
from .connection import MemoryPool
from .postgres import Postgres
from .weather import Calm, Fate, Weather

__all__ = [
    "Calm",
    "Fate",
    "MemoryPool",
    "Postgres",
    "Weather",
    "statements_batch",
    "statements_records",
    "statements_relay",
    "statements_users",
]
