"""Peer: a plain Faust agent with a Faust table, in memory or in RocksDB, each with its changelog topic.

Runs in the peers' own environment (requirements/peers.txt) and imports nothing of the system.
"""

import argparse
import asyncio
import json
import sys
from typing import Any

import faust
import uvloop

from benchmarks.peers.rules import advance, new_state

TELL_SECONDS = 0.25


def create_app(arguments: argparse.Namespace, applied: list[int]) -> faust.App:
    """One topic, one table, one agent."""
    app = faust.App(
        arguments.group,
        broker=f"kafka://{arguments.kafka}",
        store=arguments.store,
        datadir=arguments.directory,
        web_enabled=False,
        autodiscover=False,
        consumer_auto_offset_reset="earliest",
        topic_partitions=arguments.partitions,
        table_standby_replicas=0,
        worker_redirect_stdouts=False,
    )
    source = app.topic(arguments.topic, key_type=str, key_serializer="raw", value_serializer="json")
    out = app.topic(arguments.out, key_serializer="raw", value_serializer="json")
    users = app.Table(
        "users",
        partitions=arguments.partitions,
        options={"driver": "rocksdict"} if "rocks" in arguments.store else None,
    )

    async def per_event(stream: Any) -> None:
        async for event in stream:
            user = event["subject"]
            state = users.get(user) or new_state()
            changed, completed = advance(state, event)
            if changed:
                users[user] = state
            for mission in completed:
                await out.send(key=user.encode(), value={"user": user, "mission": mission})
            applied[0] += 1

    app.agent(source, name="missions")(per_event)
    return app


async def run(arguments: argparse.Namespace) -> None:
    """Runs until `--events` records were applied."""
    applied = [0]
    app = create_app(arguments, applied)
    app.finalize()
    starting = asyncio.create_task(app.start())
    while applied[0] < arguments.events:
        await asyncio.sleep(TELL_SECONDS)
        if starting.done():
            starting.result()
        tell(applied[0])
    await app.producer.flush()
    await app.stop()


def tell(applied: int) -> None:
    """One JSON line on stdout."""
    sys.stdout.write(json.dumps({"applied": applied}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Applies `--events` records and ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("kafka", "topic", "out", "group", "directory", "store"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
