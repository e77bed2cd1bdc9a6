"""The record of what operators do to dead letters and partitions: who, when, why, what. Rows are only ever added."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from .connection import Connection
from .queries import queries

_SQL = queries("actions")


@dataclass(frozen=True, slots=True)
class By:
    """Who does it, and why."""

    who: str
    why: str | None = None


async def record_action(connection: Connection, action: str, subject: Mapping[str, Any], by: By) -> None:
    """Adds a line, inside the caller's transaction. `subject` is what it is done to, as JSON can hold it."""
    await connection.execute(_SQL["record"], by.who, by.why, action, msgspec.json.encode(subject).decode())
