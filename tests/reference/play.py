"""Plays a random life to the real system: its records through Kafka and a processor of its own, the scheduler's looks, the users'
looks and their claims through the real use cases, at simulated instants."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import asyncpg

from mission_events import TOPICS_IN
from services.adapters.kafka.admin import end_offsets, ensure_topics
from services.adapters.kafka.producer import Outgoing, Publisher
from services.adapters.ledger.connection import Pool, open_pool
from services.adapters.ledger.migrate import EVENT_LOG_DAYS_AHEAD
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.claims.claim_reward import ClaimCommand, ClaimReward, Granted
from services.operations.clockwork import Clockwork
from services.operations.issue import Issuer
from services.operations.refresh import FreshCatalogue
from services.operations.startup import load_catalogue
from services.scheduler.tick import tick
from services.stack.ports import Ports
from services.stack.roles import ROLE_PLANS, Role
from services.stack.server import Addresses
from tests.support.ledger import partition_of

from .journal import Claim, Record, Step, Tick
from .life import Life, Round

ROUND_SECONDS_MAX = 60
"""A round takes a fraction of a second; a processor that was killed meanwhile is back within this time."""

POLL_SECONDS = 0.01
LOG_LINES_SHOWN = 12
ACTIVE_DAYS, EVENT_LOG_DAYS = 14, 37
CLAIM_LATER, CLAIM_NEVER = 0.3, 0.15
"""How often a reward that waits is left for another round, and how many users never claim."""

DAYS_AFTER = 9
"""Then what was completed on the last day can't be claimed any more."""

ASSIGNMENTS = """
select a.user_id, a.mission_id, a.starts_at, a.assignment_id::text, a.status
from assignment a where a.status = any($1) and a.user_id = any($2) order by 1, 2, 3
"""


@dataclass(frozen=True)
class TopicForEver:
    """A topic whose records may be of any age."""

    name: str
    partitions: int = 4
    config: Mapping[str, str] = field(default_factory=lambda: {"retention.ms": "-1"})


@dataclass
class World:
    """One ledger with its topics and its processor. What is done to it goes into its `journal`."""

    prefix: str
    addresses: Addresses
    dsn: str
    pool: Pool
    publisher: Publisher
    processor: Role
    variables: Mapping[str, str]
    issuer: Issuer
    claims: ClaimReward
    tick_at: Callable[[datetime], Awaitable[object]]
    journal: list[Step] = field(default_factory=list)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)

    async def tick(self, now: datetime) -> None:
        """The scheduler looks at the clock."""
        await self.tick_at(now)
        self.journal.append(Tick(now))

    async def publish(self, records: Sequence[Record]) -> None:
        """Publishes records, and waits until all of them are accounted for in the ledger."""
        written = await self.publisher.publish_all(
            Outgoing(
                self.prefix + record.topic,
                record.key.encode(),
                record.value,
                record.headers,
                record.partition,
                round(record.at.timestamp() * 1000),
            )
            for record in records
        )
        self.journal += records
        for place in written:
            self.ends[place.topic, place.partition] = place.offset + 1
        deadline = asyncio.get_running_loop().time() + ROUND_SECONDS_MAX
        while not await self._is_drained():
            if asyncio.get_running_loop().time() > deadline:
                log = "\n".join(self.processor.log_path.read_text("utf-8").splitlines()[-LOG_LINES_SHOWN:])
                raise TimeoutError(f"a round was not applied within {ROUND_SECONDS_MAX} s; the processor says:\n{log}")
            await asyncio.sleep(POLL_SECONDS)

    async def _is_drained(self) -> bool:
        rows = await self.pool.fetch("select topic, partition, next_offset from input_position")
        at = {(row[0], row[1]): row[2] for row in rows}
        return all(at.get(place, 0) >= end for place, end in self.ends.items())

    async def crash_processor(self) -> None:
        """Kills the processor where it stands, and starts it again."""
        await asyncio.to_thread(self.processor.kill_hard)
        self.processor.start(self.variables)

    async def claim(self, user: str, row: asyncpg.Record, now: datetime) -> None:
        """A user claims an assignment, whoever it belongs to."""
        answer = await self.claims(ClaimCommand(user, row["assignment_id"]), now)
        said = "granted" if isinstance(answer, Granted) else str(answer.why)
        self.journal.append(Claim(user, row["user_id"], row["mission_id"], row["starts_at"], now, said))


Disturbance = Callable[[Round, World], Awaitable[None]]
"""A fault to inject while a round's records are being applied. What it breaks must heal within `ROUND_SECONDS_MAX`."""


async def undisturbed(_round: Round, _world: World) -> None:
    """No fault."""


async def play(life: Life, world: World, disturb: Disturbance = undisturbed) -> None:
    """Plays all rounds, and lets enough time pass after them that everything has ended."""
    chance = Random(life.seed)
    for round_ in life.rounds:
        await play_round(round_, world, chance, life.users, disturb)
    for days in range(1, DAYS_AFTER + 1):
        await world.tick(life.end + timedelta(days=days))


async def play_round(round_: Round, world: World, chance: Random, users: Sequence[str], disturb: Disturbance) -> None:
    """The clock, the looks, the records, the claims."""
    if round_.tick:
        await world.tick(round_.now)
    await asyncio.gather(*(world.issuer.issue_for(look.user, look.now, look.zone) for look in round_.looks))
    world.journal += round_.looks
    await world.publish(round_.openers)
    await asyncio.gather(world.publish(round_.others), disturb(round_, world))
    await claim_some(round_.claims_at, world, chance, users)


async def claim_some(now: datetime, world: World, chance: Random, users: Sequence[str]) -> None:
    """Most of what waits is claimed; now and then something that can't be, something again, or what is somebody else's."""
    eager = [user for user in users if Random(user).random() > CLAIM_NEVER]
    waiting = await world.pool.fetch(ASSIGNMENTS, ["COMPLETED"], eager)
    chosen = [(row["user_id"], row) for row in waiting if chance.random() > CLAIM_LATER]
    others = await world.pool.fetch(ASSIGNMENTS, ["IN_PROGRESS", "CLAIMED", "EXPIRED"], eager)
    chosen += [
        (chance.choice((row["user_id"], row["user_id"], chance.choice(users))), row)
        for row in chance.sample(others, k=min(5, len(others)))
    ]
    by_user: dict[str, list[asyncpg.Record]] = {}
    for user, row in chosen:
        by_user.setdefault(user, []).append(row)

    async def one_after_the_other(user: str, rows: list[asyncpg.Record]) -> None:
        for row in rows:
            await world.claim(user, row, now)

    await asyncio.gather(*(one_after_the_other(user, rows) for user, rows in by_user.items()))


@asynccontextmanager
async def running_world(addresses: Addresses, dsn: str, prefix: str, today: datetime) -> AsyncIterator[World]:
    """Topics, a processor process and the use cases, on a migrated ledger with a catalogue, under a prefix of their own.

    The event log has the days that it would have if the ledger had been made `today`.
    """
    topics = [prefix + topic.name for topic in TOPICS_IN]
    await ensure_topics(addresses.kafka_bootstrap, [TopicForEver(name) for name in topics])
    directory = Path(tempfile.mkdtemp(prefix="missions-life-"))
    processor = Role(ROLE_PLANS[0], directory, Ports.free())
    variables = {
        "MISSIONS_KAFKA_BOOTSTRAP": addresses.kafka_bootstrap,
        "MISSIONS_POSTGRES_DSN": dsn,
        "MISSIONS_REDIS_URL": addresses.redis_url,
        "MISSIONS_TOPIC_PREFIX": prefix,
    }
    pool = await open_pool(dsn, size=10, application="life")
    projection = Projection.connect(addresses.redis_url, prefix)
    try:
        catalogue = await load_catalogue(pool)
        sweep, users = SweepLedger(pool, partition_of), Users(pool, partition_of)
        issuer = Issuer(users, projection, catalogue)
        days = [today.date() + timedelta(days=n) for n in range(-EVENT_LOG_DAYS, EVENT_LOG_DAYS_AHEAD + 1)]
        await sweep.keep_event_log(days, days[0])
        ends = partial(end_offsets, addresses.kafka_bootstrap, topics)
        clockwork = Clockwork(sweep, users, issuer, projection, catalogue, ends)

        async def tick_at(now: datetime) -> object:
            return await tick(sweep, clockwork, now, active_days=ACTIVE_DAYS, event_log_days=EVENT_LOG_DAYS)

        processor.start(variables)
        await asyncio.to_thread(processor.wait_ready)
        async with Publisher(addresses.kafka_bootstrap, client_id="life") as publisher:
            claims = ClaimReward(users, projection, FreshCatalogue(catalogue))
            yield World(prefix, addresses, dsn, pool, publisher, processor, variables, issuer, claims, tick_at)
    finally:
        await asyncio.to_thread(processor.stop)
        await projection.close()
        await pool.close()
        shutil.rmtree(directory, ignore_errors=True)
