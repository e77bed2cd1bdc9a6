"""How lanes wait for a server that is away: each longer and longer, until one of them is through and wakes the others."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from services.adapters.ledger.connection import is_passing

RETRY_SECONDS_FIRST = 0.05
RETRY_SECONDS_MAX = 2.0
"""Waits between tries while a server is away: doubling, with jitter, so that lanes do not come back in step. A try is one connection; how
long the last wait is, learners wait longer for what happened during the outage."""

Answer = TypeVar("Answer")

Failed = Callable[[Exception, float], None]
"""Hears of a try that failed, and about how many seconds the wait before the next one is."""


class Retries:
    """Those of all lanes, and of whoever else asks the same server."""

    def __init__(self) -> None:
        self._asleep: set[asyncio.Event] = set()
        self.retried_at = 0.0
        """When somebody last waited for a server, by the monotonic clock."""

    def begin(self) -> "Tries":
        """The tries of one piece of work."""
        return Tries(self)

    async def until_answered(self, ask: Callable[[], Awaitable[Answer]], failed: Failed) -> Answer:
        """Asks until there is an answer, whatever passes by itself in between. Raises what does not."""
        tries = self.begin()
        while True:
            try:
                answer = await ask()
            except Exception as error:
                if not is_passing(error):
                    raise
                failed(error, tries.seconds)
                await tries.wait()
            else:
                tries.through()
                return answer

    async def sleep(self, seconds: float) -> None:
        """Sleeps so long, or until somebody is through, but never less than the shortest wait."""
        self.retried_at = monotonic()
        await asyncio.sleep(min(seconds, RETRY_SECONDS_FIRST))
        woken = asyncio.Event()
        self._asleep.add(woken)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds - RETRY_SECONDS_FIRST):
                    await woken.wait()
        finally:
            self._asleep.discard(woken)

    def wake(self) -> None:
        """Lets all who sleep try again now."""
        for woken in self._asleep:
            woken.set()


class Tries:
    """The tries of one piece of work, one after the other."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self.seconds = RETRY_SECONDS_FIRST
        """About how long the next wait is."""
        self._has_failed = False

    async def wait(self) -> None:
        """Waits before the next try."""
        self._has_failed = True
        seconds = self.seconds * random.uniform(0.5, 1.5)
        self.seconds = min(self.seconds * 2, RETRY_SECONDS_MAX)
        await self._retries.sleep(seconds)

    def through(self) -> None:
        """The work is done. After a failure that means that the server is back, so the others need not wait any longer. Whoever had not
        failed wakes nobody: work that fails for a reason of its own beside others that succeed keeps its growing distance."""
        if self._has_failed:
            self._retries.wake()
