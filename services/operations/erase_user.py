"""GDPR: everything about one user as one JSON document, and its erasure, which no redelivery undoes."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from mission_events.times import format_time
from services.adapters.ledger.actions import By
from services.adapters.ledger.connection import STATEMENT_TIMEOUT_SECONDS
from services.adapters.ledger.erasure import PARTS, Erasure
from services.adapters.projection import Projection

WAIT_SECONDS_MAX = 2 * STATEMENT_TIMEOUT_SECONDS + 10
"""Longer than any transaction of ours may take: statements and idle transactions are ended after their time."""

LOOK_SECONDS = 0.1


class OthersStillRun(Exception):
    """A transaction that began before the erasure runs on; what it writes about the user could be missed."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did: rows deleted by part, and messages that the relay has still to publish."""

    deleted: Mapping[str, int]
    unpublished: int


async def export_user(erasure: Erasure, user_id: str, now: datetime, write: Callable[[str], object]) -> int:
    """Writes one JSON object: `user_id`, `exported_at`, `state` (null: unknown here), and a list for each of `PARTS`.

    Returns how many rows. It is written row by row, so a user of any size needs little memory.
    """
    rows = 0
    async with erasure.export(user_id) as export:
        head = msgspec.json.encode({"user_id": user_id, "exported_at": format_time(now)}).decode()
        write(f'{head[:-1]},\n"state": {await export.state() or "null"}')
        for part in PARTS:
            write(f',\n"{part.name}": [')
            separator = "\n"
            async for row in export.rows(part):
                write(separator + row)
                separator = ",\n"
                rows += 1
            write("]")
        write("}\n")
    return rows


async def erase_user(
    erasure: Erasure,
    projection: Projection,
    user_id: str,
    now: datetime,
    by: By,
    told: Callable[[str], None] = lambda step: None,
) -> Erased:
    """Erases a user for good; doing it again deletes what is left. `told` hears what is being done.

    First the mark, which every writer sees before it adds anything; then nothing is deleted before every transaction has ended that
    began without it. Raises `OthersStillRun`, and `ProjectionUnavailable` when Redis can't be told: then repeat it.
    """
    told("marking the user as erased")
    left, ticket = await erasure.mark(user_id, now, by)
    told("waiting for what began before")
    await _wait(erasure, ticket)
    deleted = {}
    for part in PARTS:
        told(f"deleting {part.name.replace('_', ' ')}")
        deleted[part.name] = await erasure.delete(part, user_id)
    told("telling Redis")
    await projection.store([left])
    return Erased({name: rows for name, rows in deleted.items() if rows}, await erasure.unpublished(user_id))


async def _wait(erasure: Erasure, ticket: str) -> None:
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not await erasure.older_have_ended(ticket):  # noqa: ASYNC110 - the ledger tells nobody
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise OthersStillRun("a transaction that began before the erasure has not ended") from None
