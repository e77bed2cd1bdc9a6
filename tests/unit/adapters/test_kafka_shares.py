"""Shares of the memory: nobody is left without for ever, and where numbers take turns each turn is a whole batch."""

from collections import Counter
from random import Random

import pytest

from services.adapters.kafka.records import PartitionId
from services.adapters.kafka.shares import Held, Shares

TOPICS = ("answered", "xp", "lessons")


def held(waiting: dict[PartitionId, int], outstanding: dict[PartitionId, int] | None = None) -> dict[PartitionId, Held]:
    out = outstanding or {}
    return {p: Held(out.get(p, 0), behind, out.get(p, 0)) for p, behind in waiting.items()}


def whose_turn(shares: dict[PartitionId, int]) -> list[PartitionId]:
    return [partition for partition, share in shares.items() if share]


def test_a_turn_is_divided_by_what_waits_and_a_partition_with_little_is_not_left_without() -> None:
    waiting = {PartitionId("answered", 0): 3000, PartitionId("xp", 0): 1000, PartitionId("lessons", 0): 1}

    shares = Shares(limit=1600, batch=480).of(held(waiting))

    assert list(shares.values()) == [314, 104, 35]


def test_a_number_that_has_a_batch_may_have_one_more_behind_it_but_no_third() -> None:
    number, limit = PartitionId("answered", 0), 4000
    shares = Shares(limit, batch=480)

    assert shares.of(held({number: 9000})) == {number: 420}
    assert shares.of(held({number: 9000}, {number: 420})) == {number: 840}
    assert shares.of(held({number: 9000}, {number: 840})) == {number: 0}


def test_who_has_nothing_comes_before_who_has_a_batch() -> None:
    waiting = {PartitionId("answered", n): 9000 for n in range(3)}
    shares = Shares(limit=900, batch=480)
    one, two, three = waiting
    assert whose_turn(shares.of(held(waiting))) == [one, two]

    assert whose_turn(shares.of(held(waiting, {one: 420}))) == [two]
    assert whose_turn(shares.of(held(waiting, {two: 420}))) == [three]


def test_where_less_waits_a_turn_is_smaller_but_no_less_than_a_quarter() -> None:
    waiting = {PartitionId("answered", number): behind for number, behind in enumerate((8000, 4000, 100))}

    assert list(Shares(limit=4000, batch=480).of(held(waiting)).values()) == [420, 210, 105]


def test_where_there_are_more_numbers_some_have_a_batch_and_the_others_nothing() -> None:
    waiting = {PartitionId(topic, n): 1000 for topic in TOPICS for n in range(6)}

    shares = Shares(limit=900, batch=300).of(held(waiting))

    by_number = Counter[int]()
    for partition, share in shares.items():
        by_number[partition.partition] += share
    assert by_number == {0: 261, 1: 261, 2: 261, 3: 0, 4: 0, 5: 0}


def test_the_next_turn_comes_when_there_is_memory_for_a_batch() -> None:
    waiting = {PartitionId("answered", n): 1000 for n in range(6)}
    shares = Shares(limit=900, batch=300)
    shares.of(held(waiting))

    taken = {p: 262 for p in waiting if p.partition < 3}
    assert sum(shares.of(held(waiting, taken)).values()) == 0
    assert {
        p.partition for p, share in shares.of(held(waiting, {**taken, PartitionId("answered", 1): 0})).items() if share
    } == {3}


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_taken_and_applied_when_everything_is_applied_and_no_number_waits_for_ever(seed: int) -> None:
    chance = Random(seed)
    numbers, batch, places = chance.randint(1, 20), chance.randint(8, 50), chance.randint(2, 8)
    limit = batch * places
    partitions = [PartitionId(topic, n) for topic in TOPICS for n in range(numbers)]
    behind = {p: chance.choice((0, 1, 10, 300)) for p in partitions}
    outstanding: Counter[PartitionId] = Counter()
    taken: Counter[PartitionId] = Counter()
    since: Counter[int] = Counter()
    shares = Shares(limit, batch)
    for _ in range(30_000):
        if not any(behind.values()) and not outstanding.total():
            return
        found = shares.of({p: Held(outstanding[p], behind[p], taken[p]) for p in partitions})
        for p in chance.sample(partitions, len(partitions)):
            most = min(found[p] - outstanding[p], limit - outstanding.total(), behind[p])
            if most > 0:
                took = chance.randint(1, most)
                behind[p] -= took
                outstanding[p] += took
                taken[p] += took
                since[p.partition] = 0
                for other in {q.partition for q in partitions if behind[q]} - {p.partition}:
                    since[other] += took
        assert outstanding.total() <= limit, f"seed {seed}"
        assert max(since.values(), default=0) <= 8 * batch * (numbers + places), f"seed {seed}"
        if busy := [n for n in range(numbers) if any(outstanding[p] for p in partitions if p.partition == n)]:
            number = chance.choice(busy)
            for p in partitions:
                if p.partition == number:
                    outstanding[p] = 0
    pytest.fail(f"seed {seed}: {behind} is left, {outstanding} in memory")
