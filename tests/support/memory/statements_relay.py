"""`sql/relay.sql` on a Postgres in memory: lanes' locks, the outbox from its other end, and checkpoints."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from .connection import Found, answers, shape
from .postgres import Row, Transaction
from .statements_batch import Texts, has

_one = shape("value")
_two = shape("topic", "next_offset")
PENDING = ("seq", "message_id", "topic", "key", "payload", "headers")
_pending = shape(*PENDING, "is_published")


@answers("relay")
async def begin_lane(tx: Transaction, idle_milliseconds: str) -> Found:
    tx.session.sync = tx.sync = True
    return []


@answers("relay")
async def try_lock(tx: Transaction, one: int, other: int) -> Found:
    key = (one, other)
    if tx.server.advisory.setdefault(key, tx.session) is not tx.session:
        return [_one(False)]
    tx.session.advisory.add(key)
    return [_one(True)]


@answers("relay")
async def open_checkpoints(tx: Transaction, topics: Texts, partition: int) -> Found:
    for topic in topics:
        await tx.insert("relay_checkpoint", (topic, partition), {"next_offset": 0})
    return []


@answers("relay")
async def checkpoints(tx: Transaction, topics: Texts, partition: int) -> Found:
    rows = [(topic, tx.get("relay_checkpoint", (topic, partition))) for topic in topics]
    return [_two(topic, row["next_offset"]) for topic, row in rows if row]


@answers("relay")
async def pending(tx: Transaction, partition: int, topics: Texts, limit: int, bytes_max: int) -> Found:
    rows = [row for key, row in tx.rows("outbox") if key[0] == partition and row["topic"] in topics]
    rows.sort(key=lambda row: int(row["seq"]))
    found: Found = []
    size = 0
    for row in rows[:limit]:
        if size < bytes_max:
            is_published = tx.get("found_published", row["message_id"]) is not None
            found.append(_pending(*(row[name] for name in PENDING), is_published))
        size += len(row["payload"] or b"") + len(row["key"] or b"") + len(row["headers"] or "")
    return found


@answers("relay")
async def advance_checkpoints(
    tx: Transaction, topics: Texts, partition: int, expected: Sequence[int], to: Sequence[int]
) -> Found:
    done = []
    for topic, before, after in zip(topics, expected, to, strict=True):
        key = (topic, partition)
        if await tx.change("relay_checkpoint", key, has("next_offset", before), next_offset=after):
            done.append(_one(topic))
    return done


async def _delete(tx: Transaction, rows: list[Row]) -> None:
    for row in rows:
        key = (row["partition"], row["seq"])
        await tx.lock("outbox", key)
        if tx.get("outbox", key) is not None:
            tx.put("outbox", key, None)


@answers("relay")
async def delete_published(tx: Transaction, partition: int, seqs: Sequence[int]) -> Found:
    await _delete(tx, [row for key, row in tx.rows("outbox") if key[0] == partition and row["seq"] in seqs])
    return []


@answers("relay")
async def delete_found(tx: Transaction, partition: int, message_ids: Texts) -> Found:
    wanted = {str(each) for each in message_ids}
    rows = [row for key, row in tx.rows("outbox") if key[0] == partition and row["message_id"] in wanted]
    await _delete(tx, rows)
    return [_one(row["message_id"]) for row in rows]


@answers("relay")
async def keep_found(tx: Transaction, message_ids: Texts) -> Found:
    for message_id in sorted(message_ids):
        await tx.insert("found_published", message_id, {"found_at": tx.server.now()})
    return []


@answers("relay")
async def forget_found(tx: Transaction, kept: timedelta) -> Found:
    for message_id, row in list(tx.rows("found_published")):
        if row["found_at"] < tx.server.now() - kept:
            await tx.lock("found_published", message_id)
            tx.put("found_published", message_id, None)
    return []


_backlog = shape("pending", "oldest")


@answers("relay")
async def backlog(tx: Transaction, partitions: int, limit: int) -> Found:
    rows: list[Any] = [row["created_at"] for _, row in tx.rows("outbox")]
    return [_backlog(min(len(rows), limit), min(rows, default=None))]


@answers("relay")
async def waits_for(tx: Transaction, topic: str) -> Found:
    return [_one(any(row["topic"] == topic for _, row in tx.rows("outbox")))]


@answers("relay")
async def highest_partition(tx: Transaction) -> Found:
    return [_one(max((key[0] for key, _ in tx.rows("outbox")), default=None))]
