"""A process that runs one worker, for the tests of its signals and its end: `python -m … BOOTSTRAP TOPIC GROUP MODE`.

Says on stderr what it does, one word a line; stdout must stay empty.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import uvloop

from services.adapters.kafka.errors import KafkaProblem
from services.adapters.kafka.records import Batch, PartitionId
from services.adapters.kafka.settings import WorkerSettings
from services.adapters.kafka.worker import Worker, build_worker


def say(word: str) -> None:
    """Tells the test."""
    sys.stderr.write(f"{word}\n")
    sys.stderr.flush()


async def apply(_batch: Batch) -> None:
    """Applies nothing and is content."""
    say("applied")


async def finish(_batch: Batch) -> None:
    """Takes a while, and does not let itself be hurried."""
    say("entered")
    await asyncio.sleep(1)
    say("finished")


async def hang(_batch: Batch) -> None:
    """Never returns."""
    say("entered")
    try:
        await asyncio.Event().wait()
    finally:
        say("cancelled")


async def break_down(_batch: Batch) -> None:
    """Breaks an invariant."""
    raise ZeroDivisionError("an invariant of the test")


async def nowhere(_partitions: AbstractSet[PartitionId]) -> Mapping[PartitionId, int]:
    """Nothing has been read yet."""
    return {}


HANDLERS = {"apply": apply, "finish": finish, "hang": hang, "break": break_down}


async def main(bootstrap: str, topic: str, group: str, mode: str) -> None:
    """Runs the worker until it is stopped."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    worker = build_worker(WorkerSettings(bootstrap, group), [topic], HANDLERS[mode], nowhere)
    telling = asyncio.create_task(tell_when_ready(worker))
    await worker.run()
    telling.cancel()
    say("drained")


async def tell_when_ready(worker: Worker) -> None:
    """Says when the worker has joined its group."""
    while not worker.ready():  # noqa: ASYNC110 - the worker has no event for it
        await asyncio.sleep(0.01)
    say("ready")


if __name__ == "__main__":
    try:
        uvloop.run(main(*sys.argv[1:]))
    except KafkaProblem as problem:
        sys.exit(f"refused: {problem}")
