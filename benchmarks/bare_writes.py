"""The bare writes: the statements that the processor makes for its batches, recorded, and then made again with nothing around them.

No decoding, no reading, no deciding, no Redis: what is left is what Postgres and its driver need for the same rows.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from unittest import mock

import asyncpg

from mission_events import TOPICS_IN
from services.adapters.kafka.producer import partition_for
from services.adapters.kafka.reader import read_from
from services.adapters.kafka.records import Batch, PartitionId, Record
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import BATCH_PLANNER_SETTINGS, Pool, open_pool
from services.adapters.projection import Projection
from services.operations.startup import load_catalogue
from services.processor.apply_batch import ApplyBatch

from .machine import Meter
from .sides import Measured
from .sql import queries
from .world import OUTPUT_PARTITIONS, PROJECTION_TIMEOUT_SECONDS, Side

_WRITES = re.compile(r"\b(insert into|update|delete from|set local)\b", re.IGNORECASE)
_SQL = queries("measure")


@dataclass(frozen=True, slots=True)
class Copy:
    """Rows that were copied into a table."""

    table: str
    columns: Sequence[str]
    rows: Sequence[Any]


Statement = tuple[str, Sequence[Any]] | Copy
Transaction = list[Statement]


class _Recorder:
    """Keeps the writing statements of committed transactions of one connection."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []
        self._open: list[Statement | str] = []

    def __call__(self, logged: Any) -> None:
        """asyncpg's query logger."""
        query = logged.query
        if query.startswith("BEGIN"):
            self._open = []
        elif query.startswith("COMMIT"):
            self.transactions.append([s for s in self._open if not isinstance(s, str)])
            self._open = []
        elif query.startswith("ROLLBACK TO"):
            savepoint = query.split()[2].rstrip(";")
            del self._open[self._open.index(savepoint) + 1 :]
        elif query.startswith("SAVEPOINT"):
            self._open.append(query.split()[1].rstrip(";"))
        elif _WRITES.search(query):
            self._open.append((query, logged.args or ()))

    @contextmanager
    def copies(self) -> Iterator[None]:
        """Keeps what is copied too, which the driver logs nowhere."""
        true_copy, keep = asyncpg.Connection.copy_records_to_table, self._open_statements

        async def copy(connection: Any, table: str, *, records: Iterable[Any], columns: Sequence[str]) -> Any:
            rows = list(records)
            keep().append(Copy(table, columns, rows))
            return await true_copy(connection, table, records=rows, columns=columns)

        with mock.patch.object(asyncpg.Connection, "copy_records_to_table", copy):
            yield

    def _open_statements(self) -> list[Statement | str]:
        return self._open


async def record(side: Side, source: Side, records: int, batch_size: int) -> tuple[list[Transaction], int]:
    """Applies about so many records of `source`'s topics to `side`'s ledger, batch by batch, as the processor does.

    Returns what was written, and how many records it stands for.
    """
    batches = await _batches(source, records, batch_size)
    recorder = _Recorder()
    pool = await open_pool(side.addresses.postgres_dsn, size=1, application="recorder", planner=BATCH_PLANNER_SETTINGS)
    projection = Projection.connect(side.addresses.redis_url, side.prefix, timeout_seconds=PROJECTION_TIMEOUT_SECONDS)
    try:
        catalogue = await load_catalogue(pool)
        apply_batch = ApplyBatch(BatchLedger(pool, _partition_of), projection, catalogue, lanes_max=1)
        async with pool.acquire() as connection:
            connection.add_query_logger(recorder)
        with recorder.copies():
            for batch in batches:
                await apply_batch(batch)
    finally:
        await projection.close()
        await pool.close()
    return recorder.transactions, sum(len(batch.records) for batch in batches)


async def replay(
    side: Side, transactions: list[Transaction], records: int, lanes: int, told: Callable[[int], None]
) -> Measured:
    """Makes the writes again on `side`'s ledger, in as many connections as the processor has lanes."""
    dsn = side.addresses.postgres_dsn
    pool = await open_pool(dsn, size=lanes, application="bare-writes", planner=BATCH_PLANNER_SETTINGS, stateless=True)
    try:
        await pool.execute(_SQL["checkpoint"])
        waiting = iter(transactions)
        done = 0

        async def lane() -> None:
            nonlocal done
            for transaction in waiting:
                await _replay(pool, transaction)
                done += 1
                told(records * done // len(transactions))

        meter, started = Meter().start(), perf_counter()
        await asyncio.gather(*(lane() for _ in range(lanes)))
        return Measured(records, perf_counter() - started, meter.stop())
    finally:
        await pool.close()


async def _replay(pool: Pool, transaction: Transaction) -> None:
    async with pool.acquire() as connection, connection.transaction():
        for statement in transaction:
            if isinstance(statement, Copy):
                await connection.copy_records_to_table(
                    statement.table, records=statement.rows, columns=list(statement.columns)
                )
                continue
            query, arguments = statement
            if arguments:
                await connection.fetch(query, *arguments)
            else:
                await connection.execute(query)


async def _batches(source: Side, records: int, batch_size: int) -> list[Batch]:
    """Batches of all partitions in turn, from each partition's beginning."""
    found: dict[PartitionId, list[Record]] = {}
    for topic in TOPICS_IN:
        async for partition, record in read_from(source.addresses.kafka_bootstrap, source.prefix + topic.name):
            found.setdefault(partition, []).append(record)
    total = sum(map(len, found.values()))
    batches = []
    for partition, all_records in found.items():
        some = all_records[: len(all_records) * records // total + 1]
        for start in range(0, len(some), batch_size):
            chunk = some[start : start + batch_size]
            batches.append((start, Batch(partition, chunk, chunk[0].offset, chunk[-1].offset + 1, 0)))
    return [batch for _, batch in sorted(batches, key=lambda pair: pair[0])]


def _partition_of(key: bytes | None) -> int:
    return partition_for(key, OUTPUT_PARTITIONS)
