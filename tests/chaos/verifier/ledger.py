"""Reads the ledger as one moment has it, as plain rows."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from tests.reference.states import read_state

Row = asyncpg.Record

TABLES = (
    "input_position",
    "event_log",
    "dead_letter",
    "dead_letter_history",
    "assignment",
    "reward_grant",
    "xp_log",
    "user_lesson",
    "user_completion",
    "user_question",
    "mission_version",
)


@dataclass
class Ledger:
    """All tables; `states` is the JSON of user_state by user, `raw_states` the bytes that are kept of it, with its version."""

    tables: dict[str, list[Row]]
    raw_states: dict[str, tuple[int, bytes]]
    states: dict[str, dict[str, Any]]
    outbox: dict[str, int]
    """Messages that wait, by topic."""
    now: datetime
    """The database's clock."""

    @property
    def since(self) -> datetime:
        """Before this nobody was issued anything."""
        return min((row["published_at"] for row in self.tables["mission_version"]), default=self.now)


async def read_ledger(dsn: str) -> Ledger:
    """The ledger in one snapshot."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            tables: dict[str, list[Row]] = {}
            for name in TABLES:
                tables[name] = list(await connection.fetch(f"select * from {name}"))
            rows = await connection.fetch("select user_id, version, state from user_state")
            outbox = await connection.fetch("select topic, count(*) from outbox group by topic")
            now = await connection.fetchval("select now()")
    finally:
        await connection.close()
    return Ledger(
        tables,
        {row[0]: (row[1], row[2]) for row in rows},
        {row[0]: read_state(row[2]) for row in rows},
        {row[0]: row[1] for row in outbox},
        now,
    )


def fit_of(row: Row) -> dict[str, Any] | None:
    """How an assignment was fitted to its user: reason, and wanted and target if its target was lowered."""
    told = json.loads(row["fit"]) if row["fit"] else None
    return {"wanted": None, "target": None, **told} if told else None
