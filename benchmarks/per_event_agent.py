"""The peer: a plain Faust worker with one agent a topic, which does for each event what the processor does for a batch.

It uses the same codec, the same core, the same tables and the same commit setting, in statements for single rows. It trusts Kafka's
committed offsets, which a Faust agent moves past an event even when it failed: that is less than the processor keeps.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from datetime import UTC, date, datetime
from typing import Any

import faust
import msgspec
import uvloop
from redis.asyncio import Redis

from mission_events import TOPICS_IN, Event, QuestionAnswered, decode
from services.adapters.kafka.producer import partition_for
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import Connection, Pool, open_pool
from services.missions.announcements import Announcement, assigned, completed
from services.missions.catalogue import Catalogue
from services.missions.decide import Decision, Recorded, decide
from services.missions.state import QuestionRecord, UserState, decode_state, encode_state

from .sql import queries

OUTPUT_PARTITIONS = 4
POOL_CONNECTIONS = 8
"""One for each of the six agents, and some to spare."""
KEEP_SECONDS = 30 * 24 * 3600
TELL_SECONDS = 0.5
COMMIT_WITHOUT_WAITING = {"synchronous_commit": "off"}

_SQL = queries("per_event_agent")


class _Conflict(Exception):
    """Another agent changed the user in the same moment."""


class PerEventAgent:
    """What each agent does with each event."""

    def __init__(self, pool: Pool, redis: "Redis", catalogue: Catalogue, prefix: str) -> None:
        self._pool = pool
        self._redis = redis
        self._catalogue = catalogue
        self._prefix = prefix
        self.applied = 0
        self.first_at = self.last_at = 0.0

    async def apply(self, message: Any) -> None:
        """One event: one transaction, then one SET if the user's state has changed."""
        recorded_at = datetime.fromtimestamp(message.timestamp, UTC)
        event = decode(message.value, message.headers or (), record_timestamp=recorded_at)
        if not isinstance(event, Event):
            raise TypeError(f"{message.tp} {message.offset}: the benchmark's events are all good, this one is {event}")
        while True:
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    state = await self._transaction(connection, event, recorded_at, message)
                break
            except _Conflict:
                continue
        if state is not None:
            value = b"%d|%b" % (state.version, encode_state(state))
            await self._redis.set(f"{self._prefix}missions:{{{state.user_id}}}", value, ex=KEEP_SECONDS)
        self.applied += 1
        self.last_at = time.perf_counter()
        self.first_at = self.first_at or self.last_at

    async def _transaction(
        self, connection: Connection, event: Event, recorded_at: datetime, message: Any
    ) -> UserState | None:
        place = (message.topic, message.partition, message.offset)
        keys = (event.source, event.id, event.subject, event.type, event.time, recorded_at)
        if not await connection.fetchval(_SQL["log_event"], *keys, *place, event.raw_data):
            return None
        stored = await connection.fetchval(_SQL["load_user"], event.subject)
        state = UserState(event.subject) if stored is None else decode_state(stored)
        questions: dict[str, QuestionRecord] = {}
        if isinstance(event.data, QuestionAnswered):
            row = await connection.fetchrow(_SQL["load_question"], event.subject, event.data.question_id)
            if row is not None:
                questions[event.data.question_id] = QuestionRecord(*row)
        decision = decide(state, [Recorded(event, recorded_at)], questions, self._catalogue)
        if decision.changed:
            await self._save_user(connection, state)
        for record in decision.answered.values():
            await self._save_question(connection, record, decision.answers_before[record.question_id])
        await self._save_assignments(connection, decision)
        return state if decision.changed else None

    async def _save_user(self, connection: Connection, state: UserState) -> None:
        stamp_before = state.stamp
        state.version += 1
        state.stamp = random.getrandbits(63)
        row = (
            state.user_id,
            state.version,
            state.stamp,
            encode_state(state).decode(),
            max((period.ends_at for period in state.issued if period.kind == "daily"), default=None),
            date.fromordinal(state.recent_days[-1]) if state.recent_days else None,
        )
        if state.version == 1:
            saved = await connection.fetchval(_SQL["insert_user"], *row)
        else:
            saved = await connection.fetchval(_SQL["update_user"], *row, stamp_before)
        if not saved:
            raise _Conflict

    async def _save_question(self, connection: Connection, record: QuestionRecord, answers_before: int) -> None:
        row = msgspec.structs.astuple(record)
        if answers_before == 0:
            saved = await connection.fetchval(_SQL["insert_question"], *row)
        else:
            saved = await connection.fetchval(_SQL["update_question"], *row, answers_before)
        if not saved:
            raise _Conflict

    async def _save_assignments(self, connection: Connection, decision: Decision) -> None:
        user = decision.state.user_id
        if decision.issued:
            await connection.executemany(
                _SQL["insert_assignment"],
                [
                    (user, a.mission_id, a.starts_at, a.assignment_id, a.mission_version, a.expires_at)
                    for a in decision.issued
                ],
            )
        for a in decision.completed:
            progress = json.dumps([objective.progress for objective in a.objectives])
            row = (user, a.mission_id, a.starts_at, a.completed_at, a.claimable_until, progress)
            await connection.execute(_SQL["complete_assignment"], *row)
        messages = [assigned(user, a, self._catalogue) for a in decision.issued]
        messages += [completed(user, a, self._catalogue) for a in decision.completed]
        if messages:
            await connection.executemany(_SQL["insert_outbox"], [_outbox_row(message) for message in messages])


def _outbox_row(message: Announcement) -> tuple[object, ...]:
    key = message.user_id.encode()
    return (partition_for(key, OUTPUT_PARTITIONS), message.id, message.topic, key, message.payload)


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
            await agent.apply(event.message)

    for topic in TOPICS_IN:
        name = prefix + topic.name
        app.agent(app.topic(name, key_serializer="raw", value_serializer="raw"), name=name)(per_event)
    return app


async def _run(arguments: argparse.Namespace) -> None:
    pool = await open_pool(
        arguments.dsn, size=POOL_CONNECTIONS, application="per-event-agent", planner=COMMIT_WITHOUT_WAITING
    )
    redis: Redis = Redis.from_url(arguments.redis)
    missions, revision = await CatalogueStore(pool).load()
    agent = PerEventAgent(pool, redis, Catalogue(missions, revision), arguments.prefix)
    app = _create_app(arguments.kafka, arguments.prefix, agent)
    starting = asyncio.create_task(app.start())
    try:
        while agent.applied < arguments.events:
            await asyncio.sleep(TELL_SECONDS)
            if starting.done():
                starting.result()
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
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
