"""A relay in a process of its own, which a test freezes or kills, or which kills itself at a step: see `arguments`."""

import argparse
import asyncio
import os
import signal
from typing import get_args

from mission_events import TOPICS_OUT
from services.adapters.kafka.transactional import OutputTopics
from services.adapters.ledger import relay_store
from services.adapters.ledger.connection import Pool, is_passing, open_pool
from services.relay.publication import Step
from services.relay.relay import Relay
from tests.integration.relay.world import PARTITIONS


def arguments() -> argparse.Namespace:
    """What the program is told."""
    parser = argparse.ArgumentParser(prog="tests.integration.relay.program", description=__doc__)
    parser.add_argument("dsn")
    parser.add_argument("bootstrap")
    parser.add_argument("prefix", help="of the topics")
    parser.add_argument("--name", default="relay", help="application name of its connections")
    parser.add_argument("--dies-at", choices=get_args(Step), help="kill itself at this step")
    parser.add_argument("--count", type=int, default=1, help="… when it comes there for the n-th time")
    parser.add_argument("--idle-seconds", type=float, default=relay_store.LANE_IDLE_SECONDS)
    return parser.parse_args()


async def open_when_it_is_there(dsn: str, name: str) -> Pool:
    """A pool. While there is no Postgres it is tried again, as whoever watches over the role would start that again."""
    while True:
        try:
            return await open_pool(
                dsn, size=PARTITIONS + 2, application=name, planner=relay_store.LANE_PLANNER_SETTINGS
            )
        except Exception as error:
            if not is_passing(error):
                raise
            await asyncio.sleep(0.1)


async def main(told: argparse.Namespace) -> None:
    """Runs the relay until its lanes have come to the fatal step so often; then nothing of it is closed or finished."""
    relay_store.LANE_IDLE_SECONDS = told.idle_seconds
    left = told.count

    async def on_step(step: Step) -> None:
        nonlocal left
        if step == told.dies_at:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    pool = await open_when_it_is_there(told.dsn, told.name)
    topics = OutputTopics(told.bootstrap, told.prefix, TOPICS_OUT)
    await Relay(topics, relay_store.RelayStore(pool), PARTITIONS, on_step).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(arguments()))
