"""A relay in a process of its own that kills itself at one step: `… doomed DSN BOOTSTRAP PREFIX STEP COUNT`."""

import asyncio
import os
import signal
import sys

from mission_events import TOPICS_OUT
from services.adapters.kafka.transactional import OutputTopics
from services.adapters.ledger.connection import open_pool
from services.adapters.ledger.relay_store import LANE_PLANNER_SETTINGS, RelayStore
from services.relay.publication import Step
from services.relay.relay import Relay
from tests.integration.relay.world import PARTITIONS


async def main(dsn: str, bootstrap: str, prefix: str, fatal: str, count: int) -> None:
    """Runs a relay until its lanes have come to the fatal step `count` times; then nothing of it is closed or finished."""
    left = count

    async def on_step(step: Step) -> None:
        nonlocal left
        if step == fatal:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    pool = await open_pool(dsn, size=PARTITIONS + 2, application="doomed", planner=LANE_PLANNER_SETTINGS)
    relay = Relay(OutputTopics(bootstrap, prefix, TOPICS_OUT), RelayStore(pool), PARTITIONS, on_step)
    await relay.run(asyncio.Event())


if __name__ == "__main__":
    where, broker, before, step, times = sys.argv[1:]
    asyncio.run(main(where, broker, before, step, int(times)))
