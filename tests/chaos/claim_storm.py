"""A storm of claims: many clients at once for each assignment, over two claims services that are killed at random."""

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import monotonic

import aiohttp

from services.adapters.tokens import TokenKind, TokenSettings, mint
from services.stack.ports import LOOPBACK, Ports
from services.stack.roles import ROLE_PLANS, Role
from tests.chaos.verifier import Report, verify
from tests.chaos.verifier.log import read_topics
from tests.reference.journal import Record
from tests.reference.play import World

MISSION, LESSONS, REWARDS = "daily-lesson-1", "learning.lesson-completed", "missions.reward-granted"

ANSWERED_SECONDS_MAX = 180
"""A client that has no answer by then fails the storm: a service that was killed is back within seconds."""

TRY_SECONDS_MAX = 30
"""Of one try: longer than a claims service takes to say 503."""

RETRY_SECONDS = (0.02, 0.3)
"""Between two tries of a client, by chance: an app that tries again after a lost connection."""

RETRIED = frozenset({502, 503, 504})
"""Answers that ask the client to come back."""

AGAIN = 0.05
"""How many clients claim again after they had their answer, as if it had been lost on its way."""

KILL_EVERY = 900
"""Claims between two kills, on average."""

ASSIGNMENTS_AT_ONCE = 2
"""Assignments that are stormed side by side, so that the services decide about several users while they die."""


@dataclass
class Storm:
    """What is asked, and what came of it."""

    seed: int
    assignments: int
    concurrency: int
    sent: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    """HTTP answers by status."""
    lost: int = 0
    """Tries that ended without an answer."""
    retries: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    """The 200 answers of each assignment: one of them if every client got the same."""
    answered: Counter[str] = field(default_factory=Counter)
    """Clients that got their 200, by assignment."""
    seconds: float = 0
    grants: int = 0
    published: int = 0
    """Messages of reward-granted as a `read_committed` consumer gets them."""
    published_ids: int = 0
    copies: int = 0
    """The same for a `read_uncommitted` one."""
    report: Report = field(default_factory=Report)

    def table(self) -> str:
        """What is printed."""
        told = {
            "seed": self.seed,
            "assignments x concurrent claims": f"{self.assignments} x {self.concurrency}",
            "claims sent": f"{self.sent} in {self.seconds:.1f} s",
            "answers by status": ", ".join(f"{status}: {n}" for status, n in sorted(self.answers.items())),
            "tries without an answer": self.lost,
            "retries": self.retries,
            "kills (-9)": ", ".join(f"{name}: {n}" for name, n in sorted(self.kills.items())),
            "assignments with one same answer": sum(len(bodies) == 1 for bodies in self.bodies.values()),
            "grants in the ledger": self.grants,
            "reward-granted, read_committed": f"{self.published} messages, {self.published_ids} ids",
            "reward-granted, read_uncommitted": f"{self.copies} messages",
            "verifier": self.report.verdict,
        }
        return "\n".join(f"  {name:<34} {value}" for name, value in told.items())


class Services:
    """Two claims services, one of which is killed now and then, and a relay."""

    def __init__(self, world: World, directory: Path, storm: Storm, chance: Random) -> None:
        self.tokens = TokenSettings(environment="development", development_key_file=directory / "key.pem")
        own = {
            "MISSIONS_ENVIRONMENT": "development",
            "MISSIONS_DEVELOPMENT_KEY_FILE": str(directory / "key.pem"),
            "MISSIONS_RATE_LIMITS": "false",  # they would turn the storm away before it reaches the ledger
        }
        self._variables = {**world.variables, **own}
        plans = {plan.name: plan for plan in ROLE_PLANS}
        self.claims = [Role(plans["claims"], directory / name, Ports.free()) for name in ("a", "b")]
        self.relay = Role(plans["relay"], directory / "relay", Ports.free())
        self._storm, self._chance = storm, chance
        self._next_kill = self._after(0)

    async def start(self) -> None:
        """Returns when all are ready."""
        self.user_token("nobody")  # makes the key before two services would
        for role in (*self.claims, self.relay):
            role.start(self._variables)
        await asyncio.gather(*(asyncio.to_thread(role.wait_ready) for role in (*self.claims, self.relay)))

    async def stop(self) -> None:
        """Ends them."""
        await asyncio.gather(*(asyncio.to_thread(role.stop) for role in (*self.claims, self.relay)))

    def user_token(self, user: str) -> str:
        """What a user's app sends."""
        return mint(self.tokens, user, TokenKind.USER, timedelta(hours=12))

    def url(self) -> str:
        """One of the two, by chance, whether it runs or not."""
        return f"http://{LOOPBACK}:{self._chance.choice(self.claims).http_port}/missions/claim"

    def _after(self, sent: int) -> int:
        return sent + self._chance.randint(KILL_EVERY // 4, KILL_EVERY + KILL_EVERY // 4)

    async def keep_killing(self) -> None:
        """Kills one of them whenever enough claims were sent since the last time, and starts it again at once."""
        while True:
            if self._storm.sent >= self._next_kill:
                number = self._chance.randrange(2)
                await asyncio.to_thread(self.claims[number].kill_hard)
                self.claims[number].start(self._variables)
                self._storm.kills["claims " + "ab"[number]] += 1
                if self._chance.random() < 0.7:  # else the next one may die while this one is still coming up
                    await asyncio.to_thread(self.claims[number].wait_ready)
                self._next_kill = self._after(self._storm.sent)
            await asyncio.sleep(0.01)


async def claim_storm(world: World, storm: Storm) -> Storm:
    """Completes the assignments, storms them, waits until all is published, and verifies the whole world."""
    chance = Random(storm.seed)
    directory = Path(tempfile.mkdtemp(prefix="missions-storm-"))
    services = Services(world, directory, storm, chance)
    try:
        targets = await _complete(world, storm.assignments)
        await services.start()
        began = monotonic()
        async with _running(services.keep_killing()):
            await _storm_all(services, storm, targets, chance)
        storm.seconds = monotonic() - began
        await _published(world)
    finally:
        await services.stop()
        shutil.rmtree(directory, ignore_errors=True)
    await _judge(world, storm)
    return storm


async def _complete(world: World, amount: int) -> list[tuple[str, str]]:
    """Users, each with a completed assignment: (user, assignment)."""
    now = datetime.now(UTC)
    await world.publish([_lesson(f"claimer-{number}", now) for number in range(amount)])
    rows = await world.pool.fetch(
        "select user_id, assignment_id::text from assignment where mission_id = $1 and status = 'COMPLETED' order by 1",
        MISSION,
    )
    assert len(rows) == amount, f"{len(rows)} of {amount} lessons completed {MISSION}"
    return [(row[0], row[1]) for row in rows]


def _lesson(user: str, at: datetime) -> Record:
    places = {"lesson_id": "lesson-1", "chapter_id": "chapter-1", "unit_id": "unit-1", "language": "python"}
    event = {
        "specversion": "1.0",
        "id": f"{user}-lesson",
        "source": "storm",
        "type": f"{LESSONS}.v1",
        "subject": user,
        "time": at.isoformat(),
        "data": {**places, "lesson_type": "core", "hearts_lost": 0, "duration_seconds": 60},
    }
    return Record(LESSONS, user, json.dumps(event).encode(), at)


async def _storm_all(services: Services, storm: Storm, targets: list[tuple[str, str]], chance: Random) -> None:
    places = asyncio.Semaphore(ASSIGNMENTS_AT_ONCE)
    connector = aiohttp.TCPConnector(limit=ASSIGNMENTS_AT_ONCE * storm.concurrency)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TRY_SECONDS_MAX)) as http:
        clients = _Clients(http, services, storm, chance)

        async def one(number: int, user: str, assignment: str) -> None:
            async with places:
                await clients.claim_at_once(user, assignment)
            if number % max(1, len(targets) // 20) == 0:
                done = f"{number + 1} of {len(targets)} assignments"
                print(f"  {done}, {storm.sent} claims, {storm.kills.total()} kills", flush=True)

        await asyncio.gather(*(one(number, *target) for number, target in enumerate(targets)))


@dataclass(frozen=True)
class _Clients:
    """Apps that claim until they are answered."""

    http: aiohttp.ClientSession
    services: Services
    storm: Storm
    chance: Random

    async def claim_at_once(self, user: str, assignment: str) -> None:
        """As many clients as the storm has for each assignment. Half of them name their request: a quarter all by the same key,
        a quarter each by its own."""
        header = {"Authorization": f"Bearer {self.services.user_token(user)}"}
        same = {**header, "Idempotency-Key": f"same-{assignment}"}
        headers = (
            {1: same, 3: {**header, "Idempotency-Key": f"own-{assignment}-{number}"}}.get(number % 4, header)
            for number in range(self.storm.concurrency)
        )
        await asyncio.gather(*(self._claim(assignment, one) for one in headers))

    async def _claim(self, assignment: str, headers: dict[str, str]) -> None:
        """Claims until it is granted, as an app does; now and then once more."""
        for _ in range(2 if self.chance.random() < AGAIN else 1):
            self.storm.bodies.setdefault(assignment, set()).add(await self._granted(assignment, headers))
        self.storm.answered[assignment] += 1

    async def _granted(self, assignment: str, headers: dict[str, str]) -> bytes:
        storm = self.storm
        deadline = monotonic() + ANSWERED_SECONDS_MAX
        while True:
            storm.sent += 1
            try:
                request = self.http.post(self.services.url(), json={"assignment_id": assignment}, headers=headers)
                async with request as answer:
                    body = await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                storm.lost += 1
            else:
                storm.answers[answer.status] += 1
                if answer.status == 200:
                    return body
                assert answer.status in RETRIED, f"{answer.status}: {body!r}"
            assert monotonic() < deadline, f"no answer for {assignment} within {ANSWERED_SECONDS_MAX} s"
            storm.retries += 1
            await asyncio.sleep(self.chance.uniform(*RETRY_SECONDS))


@asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _published(world: World) -> None:
    deadline = monotonic() + ANSWERED_SECONDS_MAX
    while await world.pool.fetchval("select exists (select from outbox)"):
        assert monotonic() < deadline, "the relay has not published everything"
        await asyncio.sleep(0.05)


async def _judge(world: World, storm: Storm) -> None:
    kafka = world.addresses.kafka_bootstrap
    storm.grants = await world.pool.fetchval("select count(*) from reward_grant")
    for committed in (True, False):
        logs = await asyncio.to_thread(read_topics, kafka, [REWARDS], world.prefix, committed=committed)
        messages = [raw for log in logs for raw in log.records]
        if committed:
            storm.published, storm.published_ids = (
                len(messages),
                len({json.loads(raw.value or b"")["id"] for raw in messages}),
            )
        else:
            storm.copies = len(messages)
    storm.report = await verify(kafka, world.dsn, world.addresses.redis_url, world.prefix, catalogue="default")
