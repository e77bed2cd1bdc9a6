"""How much of the memory each partition may have while more waits than it holds: partition numbers take turns, a batch each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

TURN: Final = 7 / 8
"""Of a batch: so much of a number is taken in its turn. Partitions with little may have more than their share, and what does not fit
into the batch would be applied by itself, for the price of a batch."""

SMALLEST_TURN: Final = 1 / 4
"""Of the largest: a number with little is not left without."""

OVER: Final = 7 / 8
"""Of a turn: with this much taken it is over. The last records of it would come in many small pieces."""


class Partition(Protocol):
    """A partition of some topic."""

    @property
    def partition(self) -> int:
        """Its number."""


P = TypeVar("P", bound=Partition)


class Held(NamedTuple):
    """Records of one partition."""

    outstanding: int
    """Taken and not yet applied."""
    behind: int
    """Not yet taken, as far as is known."""
    taken: int
    """Taken since the partition was sought."""

    @property
    def waiting(self) -> int:
        """All that is not yet applied."""
        return self.outstanding + self.behind


class Shares:
    """The shares of one consumer's partitions.

    A user's events lie in partitions of one number, so a batch of one number holds the more events of each user the larger it is. Numbers
    take turns: whose turn it is has nearly a batch, divided among its partitions by what waits in them, and the next turn comes when so
    much memory is free. A number that has a batch may have one more behind it, after those that have none. Where less waits a turn is
    smaller, so that all numbers are through at about the same time, and not the fullest alone at the end.
    """

    def __init__(self, limit: int, batch: int) -> None:
        """`limit` is how many records the memory holds, `batch` how many one transaction takes at most."""
        self._limit = limit
        self._largest = max(1, int(TURN * min(batch, limit)))
        self._order: dict[int, None] = {}
        """Numbers, that first whose turn was longest ago."""
        self._turns: dict[int, _Turn] = {}
        """The numbers whose turn it is."""

    def of(self, held: Mapping[P, Held]) -> dict[P, int]:
        """How many records of each partition may be outstanding."""
        numbers: defaultdict[int, list[P]] = defaultdict(list)
        for partition in held:
            numbers[partition.partition].append(partition)
        sums = {number: _sum([held[p] for p in partitions]) for number, partitions in numbers.items()}
        self._turns = {n: turn for n, turn in self._turns.items() if n in sums and not turn.is_over(sums[n])}
        self._give_turns(sums)
        shares: dict[P, int] = {}
        for number, partitions in numbers.items():
            if number in self._turns:
                amount = sums[number].outstanding + self._turns[number].left(sums[number])
                shares |= _by_what_waits(held, partitions, amount)
            elif not sums[number].waiting:
                shares |= _by_what_waits(held, partitions, self._largest)
            else:
                shares |= dict.fromkeys(partitions, 0)
        return shares

    def _give_turns(self, sums: Mapping[int, Held]) -> None:
        new = sorted(sums.keys() - self._order.keys())
        self._order = dict.fromkeys([number for number in self._order if number in sums] + new)
        most = max((held.waiting for held in sums.values()), default=0)
        spoken_for = sum(held.outstanding for held in sums.values())
        spoken_for += sum(turn.left(sums[number]) for number, turn in self._turns.items())
        for behind in (0.5, 1.5):
            for number in list(self._order):
                held = sums[number]
                if number in self._turns or not held.behind:
                    continue
                size = max(1, int(self._largest * max(SMALLEST_TURN, held.waiting / most)))
                if held.outstanding > behind * size:
                    continue
                wanted = min(size, held.behind)
                if spoken_for + wanted > self._limit:
                    return
                spoken_for += wanted
                self._turns[number] = _Turn(size, held.taken)
                self._order[number] = self._order.pop(number)


class _Turn(NamedTuple):
    """One number's turn."""

    size: int
    before: int
    """What had been taken when it began."""

    def left(self, held: Held) -> int:
        """How many records may still be taken in it."""
        return max(0, self.size - (held.taken - self.before))

    def is_over(self, held: Held) -> bool:
        """Whether enough was taken, or nothing is left to take. After a seek less may be taken than before: that is a new beginning."""
        return not held.behind or not 0 <= held.taken - self.before < OVER * self.size


def _by_what_waits(held: Mapping[P, Held], partitions: Sequence[P], amount: int) -> dict[P, int]:
    """So they are through at about the same time, and a user's events of all topics are applied close to each other. A partition with
    little is not left without any."""
    total, least = max(1, sum(held[p].waiting for p in partitions)), max(1, amount // (4 * len(partitions)))
    return {p: max(least, amount * held[p].waiting // total) for p in partitions}


def _sum(held: Sequence[Held]) -> Held:
    return Held(sum(h.outstanding for h in held), sum(h.behind for h in held), sum(h.taken for h in held))
