"""A process whose event loop stands still ends with its own exit code; one that turns is left alone."""

import subprocess
import sys

from services.adapters.watchdog import EXIT_STALLED, loop_watched

FROZEN = """
import asyncio, threading
from services.adapters.watchdog import loop_watched

async def main():
    async with loop_watched(2):
        await asyncio.sleep(0)
        threading.Event().wait()

asyncio.run(main())
"""


def test_a_loop_that_stands_still_ends_the_process_and_says_where() -> None:
    done = subprocess.run([sys.executable, "-c", FROZEN], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_STALLED
    assert "the event loop has not turned" in done.stderr
    assert "in main" in done.stderr, "the stack shows where it stood"


async def test_a_loop_that_turns_is_left_alone() -> None:
    async with loop_watched(30):
        pass
