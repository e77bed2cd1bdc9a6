"""The whole log applied to an empty ledger ends in the same ledger, however it is cut into batches, with or without Redis."""

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import asyncpg

from services.adapters.kafka.producer import partition_for
from services.adapters.kafka.records import Batch, PartitionId
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import BATCH_PLANNER_SETTINGS, open_pool
from services.adapters.projection import Projection
from services.operations.catalogue import CatalogueWatcher
from services.processor.apply_batch import ApplyBatch
from services.stack.server import Addresses
from tests.chaos.small_world import PARTITIONS, small_life
from tests.reference.journal import Record
from tests.reference.states import read_state
from tests.support.http import Sent
from tests.support.ledger import partition_of
from tests.support.stack import DatabaseFactory

START = datetime(2026, 3, 27, tzinfo=UTC)
"""Long ago, and over a change of clocks in Europe: what the local clock says can't matter."""

NO_REDIS = "redis://127.0.0.1:1/0"

DUMPED = {
    "user_state": "user_id, state, next_issue_at, last_active_day",
    "assignment": "*",
    "user_question": "*",
    "event_log": "*",
    "input_position": "topic, partition, first_offset, next_offset, applied, unmatched, duplicate, late, dead_letter, unknown, skipped",
    "dead_letter": 'topic, partition, "offset", reason, detail, recorded_at, key, value, headers::text',
    "outbox": "partition, message_id, topic, key, payload, headers::text",
    "xp_log": "user_id, earned_at, amount, origin, xp_source, event_source, event_id",
    "user_lesson": "*",
    "user_completion": "*",
}
"""All that follows from the log. A version counts batches, a stamp is drawn by chance, and `created_at` and the like are clocks."""


def partitions_of(days: list[list[Record]]) -> Iterator[tuple[PartitionId, list[Sent]]]:
    """The log as it lies: of each day, each partition's records."""
    ends: dict[PartitionId, int] = {}
    for day in days:
        lying: dict[PartitionId, list[Sent]] = {}
        for record in day:
            key = record.key.encode()
            number = partition_for(key, PARTITIONS) if record.partition is None else record.partition
            partition = PartitionId(record.topic, number)
            ends[partition] = ends.get(partition, 0) + 1
            sent = Sent(ends[partition] - 1, round(record.at.timestamp() * 1000), key, record.value or b"")
            lying.setdefault(partition, []).append(sent)
        yield from sorted(lying.items())


async def replayed(
    dsn: str, days: list[list[Record]], most_at_once: int, projection: Projection
) -> dict[str, list[Any]]:
    """Applies everything to the empty ledger, and dumps it."""
    pool = await open_pool(dsn, size=2, application="replay", planner=BATCH_PLANNER_SETTINGS)
    catalogue = CatalogueWatcher(CatalogueStore(pool))
    await catalogue.load()
    apply = ApplyBatch(BatchLedger(pool, partition_of), projection, catalogue, lanes_max=1)
    for partition, records in partitions_of(days):
        for chunk in _cut(records, most_at_once):
            await apply(Batch(partition, chunk, chunk[0].offset, chunk[-1].offset + 1, 0))
    await pool.close()
    await projection.close()
    connection = await asyncpg.connect(dsn)
    try:
        rows = {table: await connection.fetch(f"select {columns} from {table}") for table, columns in DUMPED.items()}
    finally:
        await connection.close()
    told = {table: [dict(row) for row in found] for table, found in rows.items()}
    for row in told["user_state"]:
        kept = {name: value for name, value in read_state(row["state"]).items() if name not in ("stamp", "version")}
        row["state"] = json.dumps(kept, sort_keys=True)
    return {table: sorted(map(repr, found)) for table, found in told.items()}


def _cut(records: list[Sent], size: int) -> Iterator[list[Sent]]:
    for start in range(0, len(records), size):
        yield records[start : start + size]


async def test_the_whole_log_replayed_twice_ends_in_the_same_ledger(
    addresses: Addresses, postgres_dsn_factory: DatabaseFactory, ledger_template: str
) -> None:
    seed = secrets.randbelow(2**32)
    print(f"seed {seed}")
    days = small_life(START, Random(seed))
    prefix = f"replay-{secrets.token_hex(3)}-"

    first = await replayed(
        await postgres_dsn_factory(template=ledger_template),
        days,
        1000,
        Projection.connect(addresses.redis_url, prefix),
    )
    second = await replayed(
        await postgres_dsn_factory(template=ledger_template), days, 7, Projection.connect(NO_REDIS, prefix)
    )

    assert first["assignment"]
    assert first["dead_letter"]
    for table in DUMPED:
        assert first[table] == second[table], table
