"""Takes one guard out of the system at a time, to see that the simulator turns red without it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from typing_extensions import override

from services.adapters.ledger.batch import BatchTransaction, LoggedEvent, PartitionKey
from services.adapters.ledger.relay_store import LaneLedger
from services.adapters.ledger.writer import UserWriter
from services.claims import claim_reward
from services.missions.claiming import AlreadyClaimed, Claimed, ClaimResult
from services.missions.claiming import claim as true_claim
from services.missions.state import UserState
from services.processor import apply_batch
from services.processor.apply_batch import ApplyBatch
from services.relay.publication import Publication
from tests.support.memory import connection
from tests.support.memory.kafka import MemoryTopics
from tests.support.memory.postgres import Transaction
from tests.support.memory.statements_batch import user_row

from .runner import live
from .world import Life


@dataclass(frozen=True)
class Sabotage:
    """A guard, and how it is taken out."""

    name: str
    commit: Callable[[pytest.MonkeyPatch], None]


def lives_until_red(most: int) -> Life | None:
    """The first life that breaks an invariant."""
    return next((life for life in map(live, range(most)) if life.violations), None)


class _AnyOffset(int):
    """Equal to whatever it is compared with."""

    @override
    def __eq__(self, other: object) -> bool:
        return True

    @override
    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


def _no_compare_and_set(patch: pytest.MonkeyPatch) -> None:
    true_lock = BatchTransaction.lock_positions

    async def lock_positions(self: BatchTransaction, partitions: Sequence[PartitionKey]) -> dict[PartitionKey, int]:
        return {key: _AnyOffset(at) for key, at in (await true_lock(self, partitions)).items()}

    true_advance = connection._statements["batch.advance_positions"]

    async def advance_positions(tx: Transaction, *columns: Sequence[Any]) -> Any:
        topics, partitions, expected, to, *rest = columns
        rows = [tx.get("input_position", key) for key in zip(topics, partitions, strict=True)]
        at = [row["next_offset"] if row else known for row, known in zip(rows, expected, strict=True)]
        ends = [start + end - known for start, end, known in zip(at, to, expected, strict=True)]
        return await true_advance(tx, topics, partitions, at, ends, *rest)

    patch.setattr(BatchTransaction, "lock_positions", lock_positions)
    patch.setitem(connection._statements, "batch.advance_positions", advance_positions)


def _no_deduplication(patch: pytest.MonkeyPatch) -> None:
    true_log = BatchTransaction.log_events

    async def log_events(self: BatchTransaction, events: Sequence[LoggedEvent]) -> Sequence[LoggedEvent]:
        await true_log(self, events)
        return events

    patch.setattr(BatchTransaction, "log_events", log_events)


def _no_version_guard(patch: pytest.MonkeyPatch) -> None:
    async def moved(self: UserWriter, states: Sequence[UserState]) -> set[str]:
        return set()

    async def update_users(tx: Transaction, *columns: Sequence[Any]) -> Any:
        done = []
        for *values, _ in zip(*columns, strict=True):
            await tx.lock("user_state", values[0])
            tx.put("user_state", values[0], user_row(values))
            done.append(connection.shape("user_id")(values[0]))
        return done

    patch.setattr(UserWriter, "moved", moved)
    patch.setitem(connection._statements, "batch.update_users", update_users)


def _no_unique_grant(patch: pytest.MonkeyPatch) -> None:
    def claim(state: UserState, assignment_id: str, *given: Any) -> ClaimResult:
        result = true_claim(state, assignment_id, *given)
        return Claimed(result.assignment, result.grant) if isinstance(result, AlreadyClaimed) else result

    async def claim_assignments(tx: Transaction, users: Sequence[str], *rest: Any) -> Any:
        return [connection.shape("assignment_id")(user) for user in users]

    async def insert_grants(tx: Transaction, *columns: Sequence[Any]) -> Any:
        names = ("grant_id", "assignment_id", "mission_id", "granted_at", "rewards", "user_id")
        for assignment_id, grant_id, user, mission, at, rewards in zip(*columns, strict=True):
            await tx.lock("reward_grant", assignment_id)
            values = (grant_id, assignment_id, mission, at, rewards, user)
            tx.put("reward_grant", assignment_id, dict(zip(names, values, strict=True)))
        return []

    patch.setattr(claim_reward, "claim", claim)
    patch.setitem(connection._statements, "users.claim_assignments", claim_assignments)
    patch.setitem(connection._statements, "users.insert_grants", insert_grants)


def _no_fencing(patch: pytest.MonkeyPatch) -> None:
    numbers = count()
    patch.setattr(MemoryTopics, "transactional_id", lambda self, partition: f"relay-{partition}-{next(numbers)}")


def _no_restart_scan(patch: pytest.MonkeyPatch) -> None:
    async def catch_up(self: Publication) -> None:
        self._checkpoints = await self._ledger.checkpoints(self._topics.names)

    patch.setattr(Publication, "catch_up", catch_up)


def _no_durability(patch: pytest.MonkeyPatch) -> None:
    async def make_durable(self: LaneLedger, checkpoints: Mapping[str, int]) -> None:
        """Nothing is waited for."""

    patch.setattr(LaneLedger, "make_durable", make_durable)


def _redis_first(patch: pytest.MonkeyPatch) -> None:
    true_transaction, true_decide = ApplyBatch._transaction, apply_batch._decide_and_save
    running: list[ApplyBatch] = []

    async def transaction(self: ApplyBatch, *given: Any) -> Any:
        running[:] = [self]
        return await true_transaction(self, *given)

    async def decide_and_save(*given: Any) -> Any:
        found = await true_decide(*given)
        await running[0]._projection.store_encoded(found[0].for_projection)
        return found

    patch.setattr(ApplyBatch, "_transaction", transaction)
    patch.setattr(apply_batch, "_decide_and_save", decide_and_save)


def _no_outbox_in_the_transaction(patch: pytest.MonkeyPatch) -> None:
    true_publish = UserWriter.publish

    @asynccontextmanager
    async def alone(self: UserWriter) -> AsyncIterator[None]:
        session = self._connection.session  # type: ignore[attr-defined] # the memory connection's
        outer, session.transaction = session.transaction, None
        try:
            yield
        finally:
            session.transaction = outer

    async def publish(self: UserWriter, messages: Sequence[Any]) -> None:
        async with alone(self):
            await true_publish(self, messages)

    patch.setattr(UserWriter, "publish", publish)


SABOTAGES = [
    Sabotage("no compare-and-set of the position", _no_compare_and_set),
    Sabotage("no deduplication", _no_deduplication),
    Sabotage("no version guard", _no_version_guard),
    Sabotage("no unique grant", _no_unique_grant),
    Sabotage("no fencing of the relay", _no_fencing),
    Sabotage("no scan when the relay starts", _no_restart_scan),
    Sabotage("nothing made durable before it is published", _no_durability),
    Sabotage("Redis before the commit", _redis_first),
    Sabotage("the outbox outside of the transaction", _no_outbox_in_the_transaction),
]
