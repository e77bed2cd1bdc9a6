"""Publishes events at a held rate, from a schedule: who falls behind catches up, and says by how much he was late."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from time import perf_counter

from services.adapters.kafka.producer import Outgoing, Publisher

from .events import Generated, user_id
from .world import Side

STEP_SECONDS = 0.05
"""Between two looks at the schedule: short beside everything that is measured."""


@dataclass(slots=True)
class Paced:
    """How far the publisher is."""

    published: int = 0
    late_seconds: float = 0.0
    """The longest that it was behind its schedule."""


async def publish_at(
    side: Side, events: Iterator[Generated], rate: float, paced: Paced, stop: asyncio.Event, started: float
) -> None:
    """Publishes `rate` events/s until `stop` is set or the events end; `started` is the schedule's zero, by `perf_counter`."""
    async with Publisher(side.addresses.kafka_bootstrap, client_id="benchmark", compression="lz4") as publisher:
        while not stop.is_set():
            now = perf_counter()
            due = int((now - started) * rate) - paced.published
            if due > 0:
                chunk = list(islice(events, due))
                if not chunk:
                    return
                records = [
                    Outgoing(side.prefix + event.topic, user_id(event.user).encode(), event.value) for event in chunk
                ]
                await publisher.publish_all(records)
                paced.published += len(records)
                paced.late_seconds = max(paced.late_seconds, perf_counter() - now)
            await asyncio.sleep(max(0.0, STEP_SECONDS - (perf_counter() - now)))
