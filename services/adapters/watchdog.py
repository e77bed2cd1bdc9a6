"""Ends a process whose event loop stands still: nothing else in it could say so. A restart is always safe."""

import asyncio
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

_log = logging.getLogger(__name__)

EXIT_STALLED: Final = 75
"""The process stood still and has ended itself (EX_TEMPFAIL). Restart it."""

BEAT_SECONDS: Final = 1.0

LOOP_SECONDS: Final = 30
"""An event loop that has not turned for so long is dead. Python's longest pauses here, collecting garbage over a full batch,
are well under a second; together with its restart it is seen within a minute."""


def end_stalled(why: str) -> NoReturn:
    """Says why and where every thread is, and ends the process with `EXIT_STALLED`."""
    _log.critical("stalled, the process ends: %s", why)
    faulthandler.dump_traceback(all_threads=True)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(EXIT_STALLED)


@asynccontextmanager
async def loop_watched(seconds: float = LOOP_SECONDS) -> AsyncIterator[None]:
    """Ends the process if the event loop stands still for so long while the block runs."""
    beaten, over = threading.Event(), threading.Event()

    async def beat() -> None:
        while True:
            beaten.set()
            await asyncio.sleep(BEAT_SECONDS)

    def watch() -> None:
        # Its own turns are counted, not the time: a process that was stopped and goes on has not stood still.
        missed = 0
        while not over.wait(BEAT_SECONDS):
            missed = 0 if beaten.is_set() else missed + 1
            beaten.clear()
            if missed * BEAT_SECONDS >= seconds:
                end_stalled(f"the event loop has not turned for {seconds:g} s")

    task = asyncio.create_task(beat())
    threading.Thread(target=watch, name="loop watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        task.cancel()


async def watched(work: Coroutine[Any, Any, None]) -> None:
    """Runs a role's work under the watch."""
    async with loop_watched():
        await work
