"""Where nobody publishes streaks, the system does: lessons and a freeze go in, the streak is seen, and told once on Kafka."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typing_extensions import override

from mission_events import Event, LearningData, SessionStarted, decode
from services.adapters.kafka.producer import Published, Publisher
from services.adapters.kafka.reader import read_from
from services.adapters.tokens import TokenSettings
from services.stack.server import Servers
from services.stack.system import LocalStack
from tests.support.events import item, lesson, streak, xp
from tests.support.stack import DatabaseFactory
from tests.support.system import Learner, Running, running_stack, until

PREFIX = "derived."
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
async def dsn(postgres_dsn_factory: DatabaseFactory) -> str:
    return await postgres_dsn_factory()


@pytest.fixture(scope="module")
def stack(servers: Servers, dsn: str) -> Iterator[LocalStack]:
    """A second deployment on the session's servers, with a ledger and topics of its own."""
    environment = {
        "MISSIONS_STREAK_SOURCE": "derived",
        "MISSIONS_TOPIC_PREFIX": PREFIX,
        "MISSIONS_POSTGRES_DSN": dsn,
        "MISSIONS_OUTPUT_PARTITIONS": "3",  # topics in have 4
    }
    with running_stack(servers, environment) as running:
        yield running


@pytest.fixture(scope="module")
async def system(stack: LocalStack, servers: Servers) -> AsyncIterator[Running]:
    tokens = TokenSettings(_env_file=stack.env_file)
    async with Publisher(servers.addresses.kafka_bootstrap, client_id="test") as publisher:
        yield Running(stack, servers, publisher, tokens)


class PrefixedLearner(Learner):
    """A learner of that deployment."""

    @override
    async def does(
        self, data: LearningData, *, at: datetime | None = None, event_id: str | None = None, times: int = 1
    ) -> Published:
        topic, key, value = self.record(data, at=at, event_id=event_id)
        return await self.system.publisher.publish(PREFIX + topic, key, value)

    async def sees(self, path: str, expected: dict[str, Any]) -> None:
        """Waits until an answer holds these members."""

        async def shown() -> bool:
            answer = (await self.get(path)).json()
            return all(answer.get(name) == value for name, value in expected.items())

        await until(shown, f"{expected} at {path}")


async def test_a_streak_with_a_hole_a_freeze_and_a_late_lesson(system: Running) -> None:
    learner = PrefixedLearner(system, "streaky")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=1, microsecond=0)
    await learner.does(SessionStarted(timezone="UTC"), at=today - 5 * DAY)
    for days_ago in (5, 4, 3, 1, 0):
        await learner.does(lesson(), at=today - days_ago * DAY)
    await learner.sees("/streak", {"days": 2, "day": str(today.date()), "longest": 3})

    await learner.does(item("streak_freeze"), at=today - DAY)
    await learner.sees("/streak", {"days": 5, "longest": 5, "freezes_used": 1})
    await learner.does(streak(99, str(today.date())), at=today)
    await learner.does(lesson(), at=today - 2 * DAY)
    await learner.sees("/streak", {"days": 6, "day": str(today.date()), "longest": 6, "freezes_used": 1})

    told = await told_on_kafka(system, "streaky")
    assert len({event.id for event in told}) == len(told), "each is published once"
    assert max((event.data.day, event.data.days) for event in told) == (today.date(), 6)  # type: ignore[union-attr]


async def test_xp_is_seen_in_the_profile_and_counted_once(system: Running) -> None:
    learner = PrefixedLearner(system, "earner")
    await learner.does(xp(60), event_id="sixty")
    await learner.does(xp(60), event_id="sixty")
    await learner.does(xp(5))
    await learner.sees(
        "/rewards",
        {
            "profile": {
                "xp": {"total": 65, "earned": 65, "granted": 0},
                "level": {"level": 2, "progress": 15, "target": 100},
                "gems": 0,
                "items": [],
                "badges": [],
                "unlocked": [],
            }
        },
    )


async def told_on_kafka(system: Running, user: str) -> list[Event]:
    """Our streak events about a user, as a `read_committed` consumer gets them."""
    found = []
    topic = f"{PREFIX}learning.streak-updated"
    async for _, record in read_from(system.servers.addresses.kafka_bootstrap, topic, None):
        event = decode(record.value, record.headers, record_timestamp=datetime.now(UTC))
        if isinstance(event, Event) and event.subject == user and event.source == "mission-system":
            found.append(event)
    return found
