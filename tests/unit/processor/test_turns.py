"""Taking turns: what waits is applied together, and nobody waits for ever, whoever is cancelled or fails."""

import asyncio
from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.adapters.kafka.records import Fenced, PartitionId
from services.processor.parts import Part
from services.processor.turns import Turns, Waiting


def part(topic: str, records: int = 1, number: int = 0) -> Part:
    return Part(
        PartitionId(topic, number), cast("Any", [SimpleNamespace(offset=n) for n in range(records)]), 0, records
    )


class Applied:
    """Notes what is applied together; each turn lasts until `go` is set."""

    def __init__(self, records_max: int = 10) -> None:
        self.turns: list[list[str]] = []
        self.go = asyncio.Event()
        self.began = asyncio.Event()
        self.fails: dict[str, Exception] = {}
        self.take = Turns(self._apply, records_max).take

    async def _apply(self, waiting: Sequence[Waiting]) -> None:
        self.turns.append([each.part.partition.topic for each in waiting])
        self.began.set()
        await self.go.wait()
        for each in waiting:
            each.error = self.fails.get(each.part.partition.topic)
            each.done = True

    async def start(self, *parts: Part) -> list["asyncio.Task[None]"]:
        """Starts all of them, the first one's turn being under way when the others come."""
        tasks = [asyncio.create_task(self.take(parts[0]))]
        await self.began.wait()
        tasks += [asyncio.create_task(self.take(each)) for each in parts[1:]]
        await asyncio.sleep(0)
        return tasks


async def test_what_gathers_during_a_turn_is_applied_together() -> None:
    applied = Applied()
    tasks = await applied.start(part("a"), part("b"), part("c"), part("d"))
    applied.go.set()
    await asyncio.gather(*tasks)

    assert applied.turns == [["a"], ["b", "c", "d"]]


async def test_partitions_of_other_numbers_do_not_wait() -> None:
    applied = Applied()
    tasks = await applied.start(part("a"), part("b"), part("a", number=1))

    assert applied.turns == [["a"], ["a"]]
    applied.go.set()
    await asyncio.gather(*tasks)
    assert applied.turns == [["a"], ["a"], ["b"]]


async def test_no_more_records_together_than_allowed_and_a_larger_part_alone() -> None:
    applied = Applied(records_max=10)
    tasks = await applied.start(part("a"), part("b", 4), part("c", 20), part("d", 7), part("e", 6))
    applied.go.set()
    await asyncio.gather(*tasks)

    assert applied.turns == [["a"], ["b", "e"], ["c"], ["d"]]


async def test_each_hears_of_its_own_failure_alone() -> None:
    applied = Applied()
    applied.fails = {"c": Fenced("went back")}
    tasks = await applied.start(part("a"), part("b"), part("c"), part("d"))
    applied.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert results == [None, None, applied.fails["c"], None]


async def test_who_is_cancelled_in_its_own_turn_leaves_the_others_to_theirs() -> None:
    applied = Applied()
    a, b, c, d = await applied.start(part("a"), part("b"), part("c"), part("d"))
    applied.go.set()  # wakes who waits now, and nobody later
    applied.go.clear()
    await a
    await asyncio.sleep(0)
    assert applied.turns[-1] == ["b", "c", "d"]

    b.cancel()
    applied.go.set()
    await asyncio.gather(c, d)

    assert b.cancelled()
    assert applied.turns == [["a"], ["b", "c", "d"], ["c", "d"]]


async def test_who_is_cancelled_while_it_waits_is_not_applied_later() -> None:
    applied = Applied()
    a, b, c = await applied.start(part("a"), part("b"), part("c"))
    b.cancel()
    applied.go.set()
    await asyncio.gather(a, c)

    assert applied.turns == [["a"], ["c"]]


async def test_what_breaks_a_turn_is_raised_to_its_owner_and_the_others_go_on() -> None:
    turns: list[list[str]] = []

    async def apply(waiting: Sequence[Waiting]) -> None:
        turns.append([each.part.partition.topic for each in waiting])
        await asyncio.sleep(0)
        if turns[-1][0] == "b":
            raise ZeroDivisionError
        for each in waiting:
            each.done = True

    take = Turns(apply, 10).take
    results = await asyncio.gather(*(take(part(name)) for name in "abc"), return_exceptions=True)

    assert [type(result) for result in results] == [type(None), ZeroDivisionError, type(None)]
    assert turns == [["a"], ["b", "c"], ["c"]]


@pytest.mark.parametrize("seed", range(20))
async def test_everybody_is_applied_once_whatever_comes_when(seed: int) -> None:
    chance = Random(seed)
    done: list[str] = []

    async def apply(waiting: Sequence[Waiting]) -> None:
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        for each in waiting:
            done.append(each.part.partition.topic)
            each.done = True

    take = Turns(apply, 5).take

    async def come(name: str) -> None:
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        await take(part(name, chance.randint(1, 6)))

    names = [f"topic-{number}" for number in range(30)]
    await asyncio.gather(*map(come, names))

    assert sorted(done) == sorted(names)
