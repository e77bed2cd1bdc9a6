"""Wires the relay: ledger -> lanes -> topics out, until it is told to stop."""

import asyncio
import signal
from collections.abc import Mapping

from mission_events import TOPICS_OUT, Topic, topic_of
from services.adapters.inside import InsideServer, check
from services.adapters.kafka.access import require_sign_in, security_of
from services.adapters.kafka.transactional import OutputTopics
from services.adapters.ledger.relay_store import LANE_PLANNER_SETTINGS, RelayStore
from services.missions.fields import STREAK_UPDATED
from services.missions.streaks import StreakSource
from services.operations.startup import StartError, crash_points_of, open_ledger

from .publication import STEPS
from .relay import Relay
from .settings import RelaySettings

STREAK_TOPIC = topic_of(STREAK_UPDATED)
"""A topic in; where streaks are derived, the relay publishes to it too."""

SPARE_CONNECTIONS = 2
"""Beside one connection for each lane: the backlog and the readiness check."""


async def run(settings: RelaySettings) -> None:
    """Runs the relay until SIGTERM or SIGINT. Raises `StartError`, `BrokerUnreachable` or `TopicsMissing` when it can't start."""
    crashes = crash_points_of("relay", STEPS)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    partitions = settings.output_partitions
    security = security_of(settings)
    connections = partitions + SPARE_CONNECTIONS
    async with open_ledger(settings, "relay", size=connections, planner=LANE_PLANNER_SETTINGS) as pool:
        store = RelayStore(pool)
        topics = OutputTopics(
            settings.kafka_bootstrap,
            settings.topic_prefix,
            await topics_to_publish(settings.streak_source, store),
            security=security,
        )
        await require_sign_in(settings.kafka_bootstrap, security, transactional_id=topics.transactional_id(0))
        await require_partitions(topics, store, partitions)
        relay = Relay(topics, store, partitions, crashes.at_step)

        async def ready() -> Mapping[str, str | None]:
            return {"postgres": await check(lambda: pool.fetchval("select 1")), "lanes": relay.trouble()}

        async with InsideServer(settings.inside_port, lambda: None, ready, host=settings.inside_host).running():
            await relay.run(stopping)


async def topics_to_publish(streak_source: StreakSource, store: RelayStore) -> tuple[Topic, ...]:
    """The topics out; also that of streaks, where they are derived, or were until a moment ago and some still wait."""
    if streak_source is StreakSource.DERIVED or await store.waits_for(STREAK_TOPIC.name):
        return (*TOPICS_OUT, STREAK_TOPIC)
    return TOPICS_OUT


async def require_partitions(topics: OutputTopics, store: RelayStore, partitions: int) -> None:
    """Raises `StartError` unless the topics out and the outbox have the partitions that this relay serves."""
    shapes = await topics.shapes()
    shapes.pop(STREAK_TOPIC.name, None)  # any number is fine for a topic in
    if others := {name: shape.partitions for name, shape in shapes.items() if shape.partitions != partitions}:
        found = ", ".join(f"{topics.full_name(name)} has {count}" for name, count in sorted(others.items()))
        raise StartError(
            f"MISSIONS_OUTPUT_PARTITIONS is {partitions}, but {found}",
            "set it to the number that all topics out have, the same for every role, and start them again",
        )
    highest = await store.highest_partition()
    if highest is not None and highest >= partitions:
        raise StartError(
            f"messages wait for output partition {highest}, but MISSIONS_OUTPUT_PARTITIONS is {partitions}",
            f"run a relay with at least {highest + 1} until they are published, then this one",
        )
