"""The peer: a plain Faust worker with one agent a topic, which does for each event what the processor does for a batch.

It uses the same codec, the same core, the same tables and the same commit setting. It trusts Kafka's
committed offsets, which a Faust agent moves past an event even when it failed: that is less than the processor keeps.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import faust
import msgspec
import uvloop
from msgspec.structs import replace
from redis.asyncio import Redis
from typing_extensions import override

from mission_events import TOPICS_IN, Event, decode
from services.adapters.kafka.producer import partition_for
from services.adapters.ledger.batch import BatchTransaction, LoggedEvent
from services.adapters.ledger.connection import BATCH_PLANNER_SETTINGS, Connection, Pool, open_pool
from services.adapters.ledger.writer import UserChange
from services.adapters.logs import configure_logs
from services.missions.catalogue import Catalogue
from services.missions.state import QuestionRecord, UserState, decode_state, encode_state
from services.missions.streaks import StreakSource
from services.operations.startup import load_catalogue
from services.processor.decide_users import BatchDecision, Given, decide_users

from .sql import queries
from .world import OUTPUT_PARTITIONS

POOL_CONNECTIONS = 8
"""One for each of the six agents, and some to spare."""
KEEP_SECONDS = 30 * 24 * 3600
TELL_SECONDS = 0.5
SESSION = {**BATCH_PLANNER_SETTINGS, "synchronous_commit": "off"}
"""As in the processor's transactions."""

_SQL = queries("per_event_agent")


class _Conflict(Exception):
    """Another agent changed the user in the same moment."""


class PerEventTransaction(BatchTransaction):
    """The ledger's statements for one event. What most events need is written for single rows, as a plain agent would; what
    few need (issuing, completing, learning records) goes through the ledger's own statements, with one row."""

    @override
    async def log_events(self, events: Sequence[LoggedEvent]) -> Sequence[LoggedEvent]:
        (logged,) = events
        event = logged.event
        columns = (event.source, event.id, event.subject, event.type, event.time, logged.recorded_at)
        place = (logged.topic, logged.partition, logged.offset)
        offset = await self._connection.fetchval(_SQL["log_event"], *columns, *place, event.raw_data)
        return [] if offset is None else [logged]

    @override
    async def load_users(self, user_ids: Iterable[str]) -> dict[str, UserState]:
        (user_id,) = user_ids
        state = await self._connection.fetchval(_SQL["load_user"], user_id)
        return {} if state is None else {user_id: decode_state(state)}

    @override
    async def load_questions(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], QuestionRecord]:
        if not keys:
            return {}
        (key,) = keys
        row = await self._connection.fetchrow(_SQL["load_question"], *key)
        return {} if row is None else {key: QuestionRecord(*row)}

    @override
    async def save(self, changes: Sequence[UserChange]) -> set[str]:
        for change in changes:
            saved = not change.state_changed or await self._save_user(change)
            for record, answers_before in change.answered:
                saved = saved and await self._save_question(record, answers_before)
            if not saved:
                return {change.state.user_id}
        return await super().save([replace(change, state_changed=False, answered=[]) for change in changes])

    async def _save_user(self, change: UserChange) -> bool:
        state = change.state
        state.version, state.stamp = change.version_before + 1, random.getrandbits(63)
        row = (
            state.user_id,
            state.version,
            state.stamp,
            encode_state(state),
            max((period.ends_at for period in state.issued if period.kind == "daily"), default=None),
            date.fromordinal(state.recent_days[-1]) if state.recent_days else None,
        )
        if change.version_before == 0:
            return bool(await self._connection.fetchval(_SQL["insert_user"], *row))
        return bool(await self._connection.fetchval(_SQL["update_user"], *row, change.stamp_before))

    async def _save_question(self, record: QuestionRecord, answers_before: int) -> bool:
        row = msgspec.structs.astuple(record)
        if answers_before == 0:
            return bool(await self._connection.fetchval(_SQL["insert_question"], *row))
        return bool(await self._connection.fetchval(_SQL["update_question"], *row, answers_before))


class PerEventAgent:
    """What each agent does with each event."""

    def __init__(self, pool: Pool, redis: "Redis", catalogue: Catalogue, prefix: str) -> None:
        self._pool = pool
        self._redis = redis
        self._catalogue = catalogue
        self._prefix = prefix
        self.applied = 0
        self.failure: Exception | None = None
        """What an agent could not apply. Faust would restart the agent behind that event; the measurement must end."""
        self.first_at = self.last_at = 0.0

    async def apply(self, message: Any) -> None:
        """One event: one transaction, then one SET if the user's state has changed."""
        recorded_at = datetime.fromtimestamp(message.timestamp, UTC)
        event = decode(message.value, message.headers or (), record_timestamp=recorded_at)
        if not isinstance(event, Event):
            raise TypeError(f"{message.tp} {message.offset}: the benchmark's events are all good, this one is {event}")
        logged = LoggedEvent(event, message.topic, message.partition, message.offset, recorded_at)
        while True:
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    changed = await self._transaction(connection, logged)
                break
            except _Conflict:
                continue
        for state in changed:
            value = b"%d|%b" % (state.version, encode_state(state))
            await self._redis.set(f"{self._prefix}missions:{{{state.user_id}}}", value, ex=KEEP_SECONDS)
        self.applied += 1
        self.last_at = time.perf_counter()
        self.first_at = self.first_at or self.last_at

    async def _transaction(self, connection: Connection, event: LoggedEvent) -> list[UserState]:
        """What the processor does to a batch, without its position; returns the changed state."""
        transaction = PerEventTransaction(connection, _partition_of)
        if not await transaction.log_events([event]):
            return []
        decision = BatchDecision()
        given = Given(self._catalogue, await transaction.write_records([event]), StreakSource.UPSTREAM)
        await decide_users(transaction, [event], {}, given, decision)
        if await transaction.save(decision.changes):
            raise _Conflict
        return [change.state for change in decision.changes if change.state_changed]


def _partition_of(key: bytes | None) -> int:
    return partition_for(key, OUTPUT_PARTITIONS)


def _create_app(bootstrap: str, prefix: str, agent: PerEventAgent) -> Any:
    app = faust.App(
        f"{prefix}per-event-agent",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        web_enabled=False,
        autodiscover=False,
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        worker_redirect_stdouts=False,
    )

    async def per_event(stream: Any) -> None:
        async for event in stream.events():
            try:
                await agent.apply(event.message)
            except Exception as error:
                agent.failure = error
                raise

    for topic in TOPICS_IN:
        name = prefix + topic.name
        app.agent(app.topic(name, key_serializer="raw", value_serializer="raw"), name=name)(per_event)
    return app


async def _run(arguments: argparse.Namespace) -> None:
    pool = await open_pool(
        arguments.dsn, size=POOL_CONNECTIONS, application="per-event-agent", planner=SESSION, stateless=True
    )
    redis: Redis = Redis.from_url(arguments.redis)
    agent = PerEventAgent(pool, redis, (await load_catalogue(pool)).current(), arguments.prefix)
    app = _create_app(arguments.kafka, arguments.prefix, agent)
    starting = asyncio.create_task(app.start())
    try:
        while agent.applied < arguments.events:
            await asyncio.sleep(TELL_SECONDS)
            if starting.done():
                starting.result()
            if agent.failure is not None:
                raise agent.failure
            _tell(agent)
    finally:
        await app.stop()
        await redis.aclose()
        await pool.close()


def _tell(agent: PerEventAgent) -> None:
    told = {"applied": agent.applied, "seconds": agent.last_at - agent.first_at}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Applies `--events` records and ends; tells on stdout, as JSON lines, how far it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("kafka", "dsn", "redis", "prefix"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--events", type=int, required=True, help="records to wait for")
    arguments = parser.parse_args()
    configure_logs("per-event-agent", "WARNING")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(arguments))


if __name__ == "__main__":
    main()
