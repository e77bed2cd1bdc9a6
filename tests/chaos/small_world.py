"""A small real world that has come to rest, for the verifier to judge: a few days of some learners, through all that counts, claims
and publishes."""

import asyncio
import json
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from mission_events import TOPICS_OUT
from services.adapters.kafka.admin import ensure_topics
from services.stack.ports import Ports
from services.stack.roles import ROLE_PLANS, Role
from services.stack.server import Addresses
from tests.reference.journal import Record
from tests.reference.learner import Happening, Learner
from tests.reference.noise import unreadable
from tests.reference.play import TopicForEver, World, running_world

DAYS, LEARNERS = 4, 24
PARTITIONS = 4
PUBLISHED_SECONDS_MAX = 60
WAITING = "select user_id, mission_id, starts_at, assignment_id::text, status from assignment where status = 'COMPLETED' order by 1, 2, 3"


@asynccontextmanager
async def small_world(addresses: Addresses, dsn: str, seed: int, size: int = LEARNERS) -> AsyncIterator[World]:
    """Plays the days, claims half of what is completed, and publishes everything."""
    print(f"again with: MISSIONS_WORLD_SEED={seed}")
    chance = Random(seed)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=DAYS)
    prefix = f"verified-{secrets.token_hex(3)}-"
    await ensure_topics_out(addresses, prefix)
    days = small_life(start, chance, size)
    async with running_world(addresses, dsn, prefix, start) as world:
        for records in days:
            await world.publish(records)
        await world.publish([await _sent_again(world)])
        now = datetime.now(UTC)
        for row in await world.pool.fetch(WAITING):
            if chance.random() < 0.5:
                await world.claim(row["user_id"], row, now)
        await _publish_all(world)
        yield world


def small_life(start: datetime, chance: Random, size: int = LEARNERS) -> list[list[Record]]:
    """Records of each day, in the order of their time."""
    learners = [_learner(number, start, chance) for number in range(size)]
    return [_day(start + timedelta(days=day), learners, chance) for day in range(DAYS)]


async def ensure_topics_out(addresses: Addresses, prefix: str) -> None:
    """Makes the topics that a relay publishes to."""
    await ensure_topics(addresses.kafka_bootstrap, [TopicForEver(prefix + topic.name) for topic in TOPICS_OUT])


async def _sent_again(world: World) -> Record:
    """A dead letter as an operator's replay publishes it: as bad as before."""
    row = await world.pool.fetchrow("select * from dead_letter where value is not null order by 1, 2, 3 limit 1")
    assert row is not None
    copy_of = f"{row['topic']}/{row['partition']}/{row['offset']}/{row['incarnation']}"
    headers = (("dead_letter_copy_of", copy_of.encode()),)
    topic = row["topic"].removeprefix(world.prefix)
    return Record(topic, row["key"].decode(), row["value"], row["recorded_at"], headers, row["partition"])


def _learner(number: int, start: datetime, chance: Random) -> Learner:
    zone = chance.choice(("Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC"))
    return Learner(f"learner-{number}", Random(chance.random()), [(start, zone)], tells_zone=number % 3 > 0)


def _day(start: datetime, learners: list[Learner], chance: Random) -> list[Record]:
    """A day's records in the order of their time: some twice, some bad, some users by other partitions than their key's."""
    records = []
    for number, learner in enumerate(learners):
        for _ in range(chance.randint(1, 2)):
            at = start + timedelta(minutes=chance.randint(0, 22 * 60))
            for happening in learner.session(at):
                partition = {1: 2, 2: chance.randrange(PARTITIONS)}.get(number % 8)
                records.append(_record(learner.name, happening, chance, partition))
    records += chance.sample(records, k=len(records) // 20)
    records += unreadable(chance, start + timedelta(hours=8), [learner.name for learner in learners])
    return sorted(records, key=lambda record: record.at)


def _record(user: str, happening: Happening, chance: Random, partition: int | None) -> Record:
    event = {
        "specversion": "1.0",
        "id": f"{chance.getrandbits(64):016x}",
        "source": "small-world",
        "type": happening.type,
        "subject": user,
        "time": happening.at.isoformat(),
        "data": happening.data,
    }
    recorded_at = happening.at + timedelta(milliseconds=chance.randint(0, 5000))
    topic = happening.type.removesuffix(".v1")
    return Record(topic, user, json.dumps(event).encode(), recorded_at, (), partition)


async def _publish_all(world: World) -> None:
    """A relay runs until nothing waits."""
    directory = Path(tempfile.mkdtemp(prefix="missions-relay-"))
    relay = Role(next(plan for plan in ROLE_PLANS if plan.name == "relay"), directory, Ports.free())
    try:
        relay.start(world.variables)
        deadline = asyncio.get_running_loop().time() + PUBLISHED_SECONDS_MAX
        while await world.pool.fetchval("select exists (select from outbox)"):
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"not all was published within {PUBLISHED_SECONDS_MAX} s; see {relay.log_path}")
            await asyncio.sleep(0.05)
    finally:
        await asyncio.to_thread(relay.stop)
        shutil.rmtree(directory, ignore_errors=True)
