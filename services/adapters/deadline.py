"""Gives up on a call to a server in time. A driver whose call is cancelled may first wait for the server, which may hang."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")

_left_behind: set[asyncio.Task[Any]] = set()
"""Calls that were given up and have not ended yet: each holds its connection until the server or the driver's timeout lets go."""


async def within(seconds: float, call: Coroutine[Any, Any, Answer]) -> Answer:
    """The call's answer. Raises TimeoutError when there is none in time: then it is not known whether the call had an effect."""
    task = asyncio.create_task(call)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError(f"no answer within {seconds:g} s")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            _left_behind.add(task)
            task.add_done_callback(_ended)


def _ended(task: asyncio.Task[Any]) -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()  # read, so that nobody warns of an error that came too late to matter
