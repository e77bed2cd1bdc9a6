"""Turns: who is applied next, and with whom in one transaction: what waits in partitions of one number, and of others where it is little.

A user's events lie in partitions of one number, whatever their topic. Applied in one go they cost one transaction and one write of
the user's row; beside each other they would wait for each other's rows. What little waits in partitions of other numbers has other
users, and comes along for the price of the transaction alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from services.adapters.kafka.records import Fenced

from .parts import Part

OTHERS_RECORDS_MAX = 1000
"""Records up to which a transaction takes along other numbers: what a transaction costs by itself is then a tenth of what its records
do, and two large ones are better beside each other."""

LITTLE_RECORDS = 100
"""Less than this waits for the turn that is under way, and is applied with what comes until then: beside it, it would cost a transaction
of its own, of a few milliseconds, in which nobody else has the core."""

LITTLE_SECONDS = 0.05
"""So long, at most: a turn that is held up does not hold up the others."""

Gather = Callable[[int], Part]
"""The same part with what has come behind it in its partition, up to so many records in all. What it returns has to be applied."""


@dataclass(eq=False, slots=True)
class Waiting:
    """A part that somebody waits for, until it is done."""

    part: Part
    gather: Gather
    done: bool = False
    error: Exception | None = None
    """Why it could not be applied; the others were."""
    group: "list[Waiting]" = field(default_factory=list)
    """With whom it is applied, if its caller is to do it."""
    since: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    """When it began to wait, by the event loop's clock."""
    turn: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Until it is done by another caller, or its own caller's turn has come."""


def still_wanted(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Those whose partitions are not given up meanwhile; the others are done with: whoever has them next applies them."""
    for each in waiting:
        if each.part.given_up():
            each.error, each.done = Fenced(f"{each.part.partition} is given up"), True
    return [each for each in waiting if not each.done]


Apply = Callable[[Sequence[Waiting]], Awaitable[None]]
"""Applies parts of different partitions, and says of each how it went: sets `done`, and `error` beside it. What it raises
itself is the end of the caller's turn."""


class Turns:
    """Everybody's turns. Each caller brings a part, at most one of a partition at a time."""

    def __init__(self, apply: Apply, records_max: int, turns_max: int) -> None:
        """`records_max` is how many records are applied in one go, a larger part goes alone; `turns_max` how many turns are under way at
        once, no two of them with partitions of one number."""
        self._apply = apply
        self._records_max = records_max
        self._turns_left = turns_max
        self._waiting: dict[int, list[Waiting]] = {}
        """By number."""
        self._busy: set[int] = set()
        self._later: asyncio.TimerHandle | None = None

    async def take(self, part: Part, gather: Gather | None = None) -> None:
        """Returns when the part is done, by this caller's turn or another's. Raises its error.

        When its turn comes, it is applied with what has come behind it meanwhile, if `gather` tells.

        A caller that is cancelled during its own turn takes back what is not committed: the others' parts are then
        applied in their own turns. What is in another's turn goes on there, as it does in a process that was fenced off.
        """
        mine = Waiting(part, gather or (lambda _most: part))
        self._wait(mine)
        self._give()
        try:
            await mine.turn
            if mine.group:
                await self._apply(mine.group)
        finally:
            self._leave(mine)
        if mine.error is not None:
            raise mine.error

    def _wait(self, waiting: Waiting) -> None:
        self._waiting.setdefault(waiting.part.partition.partition, []).append(waiting)

    def _since(self, number: int) -> float:
        """When the first of what waits in this number began to."""
        return min(each.since for each in self._waiting[number])

    def _free(self) -> list[int]:
        """The numbers in which something waits and nothing is under way, that which has waited longest first."""
        return sorted((number for number in self._waiting if number not in self._busy), key=self._since)

    def _give(self) -> None:
        """Gives turns, as long as there are any, to the numbers that have waited longest."""
        while self._turns_left and (free := self._free()):
            if self._is_little(free):
                break
            group = self._pick(free[0], self._records_max, [])
            for number in free[1:]:
                group = self._pick(number, OTHERS_RECORDS_MAX, group)
            if group:
                self._turns_left -= 1
                self._busy |= _numbers(group)
                group[0].group = group
                group[0].turn.set_result(None)

    def _is_little(self, free: Sequence[int]) -> bool:
        """Whether what waits in these numbers may wait for the end of a turn; it is looked at again when it has waited long enough."""
        waiting = [each for number in free for each in self._waiting[number]]
        if not self._busy or sum(len(each.part.records) for each in waiting) >= LITTLE_RECORDS:
            return False
        loop = asyncio.get_running_loop()
        until = self._since(free[0]) + LITTLE_SECONDS
        if until > loop.time() and self._later is None:
            self._later = loop.call_at(until, self._look_again)
        return until > loop.time()

    def _look_again(self) -> None:
        self._later = None
        self._give()

    def _pick(self, number: int, most: int, group: list[Waiting]) -> list[Waiting]:
        """The group with what waits in partitions of this number, up to so many records in all: first one part of each, then what has
        come behind them."""
        size = sum(len(each.part.records) for each in group)
        picked: list[Waiting] = []
        left: list[Waiting] = []
        for each in self._waiting.pop(number):
            fits = size + len(each.part.records) <= most
            if each.turn.cancelled():  # its caller is about to go
                continue
            if fits or not (group or picked):
                picked.append(each)
                size += len(each.part.records)
            else:
                left.append(each)
        if left:
            self._waiting[number] = left
        for each in picked:
            before = len(each.part.records)
            each.part = each.gather(max(before, most - size + before))
            size += len(each.part.records) - before
        return group + picked

    def _leave(self, mine: Waiting) -> None:
        """The caller goes: its turn, if it had one, is over. Whoever was to be applied in it and is not waits for another one."""
        group, mine.group = mine.group, []  # nothing that holds records may wait for Python's collector
        if group:
            self._turns_left += 1
            self._busy -= _numbers(group)
            for each in group:
                if each.done:
                    _end(each)
                elif each is not mine and not each.turn.cancelled():
                    self._wait(each)
            self._give()
        else:
            number = mine.part.partition.partition
            waiting = self._waiting.get(number, [])
            if mine in waiting:
                waiting.remove(mine)
            if not waiting:
                self._waiting.pop(number, None)


def _numbers(group: Sequence[Waiting]) -> set[int]:
    return {each.part.partition.partition for each in group}


def _end(waiting: Waiting) -> None:
    if not waiting.turn.done():
        waiting.turn.set_result(None)
