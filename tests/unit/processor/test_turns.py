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

    def __init__(self, records_max: int = 10, turns_max: int = 10) -> None:
        self.turns: list[list[str]] = []
        self.go = asyncio.Event()
        self.began = asyncio.Event()
        self.fails: dict[str, Exception] = {}
        self.take = Turns(self._apply, records_max, turns_max).take

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


async def test_partitions_of_other_numbers_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.processor.turns.LITTLE_RECORDS", 1)
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


async def test_no_more_turns_at_once_than_allowed_and_who_waited_longest_is_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.processor.turns.OTHERS_RECORDS_MAX", 0)
    monkeypatch.setattr("services.processor.turns.LITTLE_RECORDS", 1)
    applied = Applied(turns_max=2)
    tasks = await applied.start(part("a"), part("b", 9, number=1), part("c", 9, number=2), part("d", 9))

    assert applied.turns == [["a"], ["b"]]
    applied.go.set()
    await asyncio.gather(*tasks)
    assert applied.turns == [["a"], ["b"], ["c"], ["d"]]


async def test_a_number_that_has_waited_longer_is_not_overtaken_by_one_that_was_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.processor.turns.OTHERS_RECORDS_MAX", 0)
    monkeypatch.setattr("services.processor.turns.LITTLE_RECORDS", 1)
    turns: list[str] = []
    ends = {name: asyncio.Event() for name in "abcde"}

    async def apply(waiting: Sequence[Waiting]) -> None:
        [each] = waiting
        turns.append(each.part.partition.topic)
        await ends[each.part.partition.topic].wait()
        each.done = True

    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    take = Turns(apply, 10, 2).take
    tasks = []
    for name, number in (("a", 0), ("b", 1), ("c", 2), ("d", 3), ("e", 0)):
        tasks.append(asyncio.create_task(take(part(name, number=number))))
        await settle()
    for name in "bacde":
        ends[name].set()
        await settle()
    await asyncio.gather(*tasks)

    assert turns == ["a", "b", "c", "d", "e"]


async def test_little_waits_for_the_turn_under_way_and_is_applied_with_what_comes_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.processor.turns.LITTLE_SECONDS", 3600.0)
    monkeypatch.setattr("services.processor.turns.LITTLE_RECORDS", 10)
    applied = Applied(records_max=1000)
    tasks = await applied.start(part("a"), part("b", 3, number=1), part("c", 3, number=2))
    assert applied.turns == [["a"]]

    tasks.append(asyncio.create_task(applied.take(part("d", 3, number=3))))
    tasks.append(asyncio.create_task(applied.take(part("e", 1, number=4))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert applied.turns == [["a"], ["b", "c", "d", "e"]], "ten are worth a turn beside it"

    applied.go.set()
    await asyncio.gather(*tasks)


async def test_a_turn_that_is_held_up_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.processor.turns.LITTLE_SECONDS", 0.001)
    applied = Applied()
    tasks = await applied.start(part("a"), part("b", number=1))

    async with asyncio.timeout(10):
        while applied.turns != [["a"], ["b"]]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    applied.go.set()
    await asyncio.gather(*tasks)


async def test_what_little_waits_in_other_numbers_comes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.processor.turns.OTHERS_RECORDS_MAX", 5)
    applied = Applied(turns_max=1)
    tasks = await applied.start(
        *(part("a"), part("b", 2, number=1), part("c", 2, number=2), part("d", 4, number=3), part("e", 1, number=3))
    )
    applied.go.set()
    await asyncio.gather(*tasks)

    assert applied.turns == [["a"], ["b", "c", "e"], ["d"]]


async def test_a_large_turn_takes_along_nobody_of_another_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.processor.turns.OTHERS_RECORDS_MAX", 5)
    applied = Applied(turns_max=1)
    tasks = await applied.start(part("a"), part("b", 6), part("c", 3), part("d", number=1))
    applied.go.set()
    await asyncio.gather(*tasks)

    assert applied.turns == [["a"], ["b", "c"], ["d"]]


async def test_what_has_come_behind_a_part_when_its_turn_comes_is_applied_with_it() -> None:
    sizes: list[list[int]] = []
    asked: list[int] = []

    async def apply(waiting: Sequence[Waiting]) -> None:
        sizes.append([len(each.part.records) for each in waiting])
        await asyncio.sleep(0)
        for each in waiting:
            each.done = True

    def more(most: int) -> Part:
        asked.append(most)
        return part("b", min(most, 6))

    turns = Turns(apply, 10, 1)
    await asyncio.gather(turns.take(part("a")), turns.take(part("b", 2), more), turns.take(part("c", 5)))

    assert sizes == [[1], [5, 5]]
    assert asked == [5]


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

    take = Turns(apply, 10, 3).take
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

    take = Turns(apply, 5, chance.randint(1, 3)).take

    async def come(name: str) -> None:
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        await take(part(name, chance.randint(1, 6), chance.randrange(3)))

    names = [f"topic-{number}" for number in range(30)]
    await asyncio.gather(*map(come, names))

    assert sorted(done) == sorted(names)


@pytest.mark.parametrize("seed", range(100))
async def test_whoever_is_cancelled_and_whatever_breaks_the_others_are_applied_once_and_never_two_of_a_number(
    seed: int,
) -> None:
    chance = Random(seed)
    done: list[str] = []
    under_way: set[int] = set()
    turns_max = chance.randint(1, 3)
    turns = 0

    async def apply(waiting: Sequence[Waiting]) -> None:
        nonlocal turns
        numbers = {each.part.partition.partition for each in waiting}
        assert not numbers & under_way, f"seed {seed}"
        under_way.update(numbers)
        turns += 1
        assert turns <= turns_max, f"seed {seed}"
        try:
            for each in waiting:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                if chance.random() < 0.1:
                    raise ZeroDivisionError
                done.append(each.part.partition.topic)
                each.done = True
        finally:
            under_way.difference_update(numbers)
            turns -= 1

    take = Turns(apply, 5, turns_max).take

    async def come(name: str) -> str | None:
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        try:
            await take(part(name, chance.randint(1, 6), chance.randrange(4)))
        except ZeroDivisionError:
            return None
        return name

    names = [f"topic-{number}" for number in range(40)]
    tasks = [asyncio.create_task(come(name)) for name in names]
    for task in tasks:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        if chance.random() < 0.2:
            task.cancel()
    ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)

    through = [name for name in ended if isinstance(name, str)]
    assert len(set(done)) == len(done), f"seed {seed}"
    assert set(through) <= set(done), f"seed {seed}"
    assert {type(end) for end in ended} <= {str, type(None), asyncio.CancelledError}, f"seed {seed}"
