"""Turns by partition number: whoever has the turn applies what has gathered meanwhile in the partitions of that number, of all topics.

A user's events lie in partitions of one number, whatever their topic. Applied in one go they cost one transaction and one write of
the user's row; beside each other they would wait for each other's rows.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from services.adapters.kafka.records import Fenced

from .parts import Part


@dataclass(eq=False, slots=True)
class Waiting:
    """A part that somebody waits for, until it is done."""

    part: Part
    done: bool = False
    error: Exception | None = None
    """Why it could not be applied; the others were."""


def still_wanted(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Those whose partitions are not given up meanwhile; the others are done with: whoever has them next applies them."""
    for each in waiting:
        if each.part.given_up():
            each.error, each.done = Fenced(f"{each.part.partition} is given up"), True
    return [each for each in waiting if not each.done]


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[Waiting] = field(default_factory=list)


Apply = Callable[[Sequence[Waiting]], Awaitable[None]]
"""Applies parts of different partitions of one number, and says of each how it went: sets `done`, and `error` beside it. What it raises
itself is the end of the caller's turn."""


class Turns:
    """Everybody's turns. Each caller brings a part, at most one of a partition at a time."""

    def __init__(self, apply: Apply, records_max: int) -> None:
        """`records_max` is how many records are applied in one go; a larger part goes alone."""
        self._apply = apply
        self._records_max = records_max
        self._turns: defaultdict[int, _Turn] = defaultdict(_Turn)

    async def take(self, part: Part) -> None:
        """Returns when the part is done, by this caller's turn or another's. Raises its error.

        A caller that is cancelled during its own turn takes back what is not committed: the others' parts are then
        applied in their own turns. What is in another's turn goes on there, as it does in a process that was fenced off.
        """
        turn = self._turns[part.partition.partition]
        mine = Waiting(part)
        turn.waiting.append(mine)
        try:
            async with turn.lock:
                if not mine.done:
                    await self._lead(turn, mine)
        finally:
            if mine in turn.waiting:
                turn.waiting.remove(mine)
        if mine.error is not None:
            raise mine.error

    async def _lead(self, turn: _Turn, mine: Waiting) -> None:
        """Applies the caller's own part, and with it what else waits and fits."""
        group = [mine]
        size = len(mine.part.records)
        for other in turn.waiting:
            fits = size + len(other.part.records) <= self._records_max
            if other is not mine and not other.done and fits:
                group.append(other)
                size += len(other.part.records)
        await self._apply(group)
