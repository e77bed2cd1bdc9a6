"""Reads users' states by their ids: one query for everybody who asks."""

from collections.abc import Iterable

from services.missions.state import UserState, decode_state

from .columns import texts
from .connection import Connection, Pool, Row
from .queries import queries

_SQL = queries("batch")


async def load_states(source: "Connection | Pool", user_ids: Iterable[str]) -> dict[str, UserState]:
    """States of those of these users that the ledger knows, unlocked."""
    wanted = list(user_ids)
    return states_of(await source.fetch(_SQL["load_users"], texts(wanted))) if wanted else {}


def states_of(rows: Iterable[Row]) -> dict[str, UserState]:
    """States by user, of rows that begin with (user_id, state)."""
    return {row[0]: decode_state(row[1]) for row in rows}
