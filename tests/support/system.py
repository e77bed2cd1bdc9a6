"""The whole system as processes on the session's servers, and learners that live in it."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from mission_events import LearningData, OutEvent, SessionStarted, decode_out, encode_event, topic_of
from mission_events.learning import LEARNING_TYPES
from services.adapters.kafka.admin import end_offsets
from services.adapters.kafka.producer import Published, Publisher
from services.adapters.kafka.reader import read_from
from services.adapters.tokens import TokenKind, TokenSettings, mint
from services.stack.ports import Ports
from services.stack.server import Servers
from services.stack.system import LocalStack
from tests.support.stack import stopped_if_we_are_killed, temporary_directory

WAIT_SECONDS = 60
"""Long enough for a killed role to come back on a busy machine; what works is seen within milliseconds."""

POLL_SECONDS = 0.02

Mission = dict[str, Any]


@dataclass(frozen=True)
class Running:
    """A system that is up."""

    stack: LocalStack
    servers: Servers
    publisher: Publisher
    tokens: TokenSettings

    @property
    def api_url(self) -> str:
        """The base URL of every HTTP call."""
        return self.stack.api_url

    def token(self, kind: TokenKind, subject: str | None = None, lifetime: timedelta = timedelta(hours=1)) -> str:
        """A development token."""
        return mint(self.tokens, subject, kind, lifetime)

    def learner(self, name: str = "learner") -> "Learner":
        """A learner whom the system has never seen."""
        return Learner(self, f"{name}-{secrets.token_hex(4)}")

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows of the ledger."""
        connection = await asyncpg.connect(self.servers.addresses.postgres_dsn)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def events_out(self, topic: str, user: str, start: dict[int, int] | None = None) -> list[OutEvent]:
        """A user's events on a topic out, as a `read_committed` consumer gets them."""
        found = []
        async for _, record in read_from(self.servers.addresses.kafka_bootstrap, topic, start):
            event = decode_out(record.value, record.headers)
            if isinstance(event, OutEvent) and event.subject == user:
                found.append(event)
        return found

    async def drained(self, topics: list[str]) -> None:
        """Waits until every record of these topics has been accounted for in the ledger."""
        ends = await end_offsets(self.servers.addresses.kafka_bootstrap, topics)

        async def done() -> bool:
            rows = await self.fetch("select topic, partition, next_offset from input_position")
            at = {(row[0], row[1]): row[2] for row in rows}
            return all(at.get((p.topic, p.partition), 0) >= end for p, end in ends.items())

        await until(done, f"all records of {', '.join(topics)} accounted for")


class Learner:
    """One learner: publishes as their upstream services do, and sees what their app sees."""

    def __init__(self, system: Running, user: str) -> None:
        self.system = system
        self.user = user
        self.headers = {"Authorization": f"Bearer {system.token(TokenKind.USER, user)}"}

    def record(
        self, data: LearningData, *, at: datetime | None = None, event_id: str | None = None
    ) -> tuple[str, bytes, bytes]:
        """(topic, key, value) of an event of this learner."""
        event_type = LEARNING_TYPES[type(data)]
        value = encode_event(
            data,
            event_id=event_id or secrets.token_hex(8),
            source="test",
            subject=self.user,
            time=at or datetime.now(UTC),
        )
        return topic_of(event_type).name, self.user.encode(), value

    async def does(
        self, data: LearningData, *, at: datetime | None = None, event_id: str | None = None, times: int = 1
    ) -> Published:
        """Publishes an event, or several copies of it."""
        topic, key, value = self.record(data, at=at, event_id=event_id)
        for _ in range(times - 1):
            await self.system.publisher.publish(topic, key, value)
        return await self.system.publisher.publish(topic, key, value)

    async def opens_app(self, timezone: str = "Europe/Berlin") -> dict[str, Mission]:
        """The session starts and the app asks for missions."""
        await self.does(SessionStarted(timezone=timezone))
        return await self.until(lambda missions: len(missions) > 0, "missions")

    async def get(self, path: str, **arguments: Any) -> httpx.Response:
        """A GET with the learner's token."""
        async with httpx.AsyncClient(base_url=self.system.api_url, headers=self.headers, timeout=30) as http:
            return await http.get(path, **arguments)

    async def missions(self) -> dict[str, Mission]:
        """What `GET /missions` shows now, by mission id."""
        answer = await self.get("/missions")
        assert answer.status_code == 200, answer.text
        return {mission["mission_id"]: mission for mission in answer.json()["missions"]}

    async def claim(self, assignment_id: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """A POST to `/missions/claim` with the learner's token."""
        async with httpx.AsyncClient(base_url=self.system.api_url, timeout=30) as http:
            body = {"assignment_id": assignment_id}
            return await http.post("/missions/claim", json=body, headers={**self.headers, **(headers or {})})

    async def until(self, holds: Callable[[dict[str, Mission]], bool], what: str) -> dict[str, Mission]:
        """Looks at `GET /missions` until the condition holds; then returns what it showed."""
        seen: dict[str, Mission] = {}

        async def look() -> bool:
            nonlocal seen
            seen = await self.missions()
            return holds(seen)

        await until(look, lambda: f"{what}; the app shows {json.dumps(seen, indent=1)}")
        return seen

    async def until_progress(self, **wanted: int) -> dict[str, Mission]:
        """Waits for progress, by mission id with `_` for `-`."""
        expected = {name.replace("_", "-"): progress for name, progress in wanted.items()}
        return await self.until(
            lambda missions: all(m in missions and missions[m]["progress"] == p for m, p in expected.items()),
            f"progress {expected} of {self.user}",
        )


async def until(
    holds: Callable[[], Awaitable[bool]], what: str | Callable[[], str], seconds: float = WAIT_SECONDS
) -> None:
    """Waits for a condition; fails with what was waited for."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await holds():
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"waited {seconds:g} s for {what if isinstance(what, str) else what()}")
        await asyncio.sleep(POLL_SECONDS)


@contextmanager
def running_stack(
    servers: Servers,
    environment: Mapping[str, str] | None = None,
    role_environment: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[LocalStack]:
    """The five roles as processes on servers that run and stay, while the block runs; they end with this process too."""
    with temporary_directory() as directory, stopped_if_we_are_killed(directory, "-m", "tests.support.cleanup"):
        stack = LocalStack(
            directory, Ports.free(), environment=environment, role_environment=role_environment, servers=servers
        )
        try:
            stack.up()
            yield stack
        finally:
            for role in stack.roles.values():
                role.stop()


@pytest.fixture(scope="session")
def system_stack(servers: Servers) -> Iterator[LocalStack]:
    """All five roles as processes on the session's servers."""
    with running_stack(servers) as stack:
        yield stack


@pytest.fixture(scope="session")
async def system(system_stack: LocalStack, servers: Servers) -> AsyncIterator[Running]:
    """The running system, with a publisher for the topics in."""
    tokens = TokenSettings(_env_file=system_stack.env_file)
    async with Publisher(servers.addresses.kafka_bootstrap, client_id="test") as publisher:
        yield Running(system_stack, servers, publisher, tokens)
