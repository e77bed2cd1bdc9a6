"""Lanes without a broker: order, merging, staleness, and how the end of a handler is told."""

import asyncio
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.adapters.kafka.lanes import Lanes
from services.adapters.kafka.records import Batch, Fenced, Halt, PartitionId
from services.adapters.kafka.stretch import Fetched, Stretch

P = PartitionId("topic", 0)
Q = PartitionId("topic", 1)


class Diary:
    """Keeps what the lanes tell, and handles batches as it is told."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.acknowledged: list[int] = []
        self.told: list[tuple[Any, ...]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fail: BaseException | None = None

    async def handle(self, batch: Batch) -> None:
        await self.gate.wait()
        if self.fail is not None:
            raise self.fail
        self.batches.append(batch)

    def applied(self, partition: PartitionId, stretch: Stretch, records: int) -> None:
        pass

    def reseek(self, partition: PartitionId, reason: str) -> None:
        self.told.append(("reseek", partition, reason))

    def halt(self, partition: PartitionId, reason: str) -> None:
        self.told.append(("halt", partition, reason))

    def gap(self, partition: PartitionId, expected: int, got: int) -> None:
        self.told.append(("gap", partition, expected, got))

    def broken(self, error: BaseException) -> None:
        self.told.append(("broken", type(error)))

    def ends(self) -> list[tuple[int, int]]:
        return [(batch.start, batch.end) for batch in self.batches]


def fetched(stretch: Stretch, start: int, end: int, partition: PartitionId = P, first: int | None = None) -> Fetched:
    records: Any = [SimpleNamespace(offset=offset) for offset in range(start if first is None else first, end)]
    stretch.taken += len(records)
    return Fetched(partition, records, start, end, 1, stretch)


def offer(lanes: Lanes, diary: Diary, piece: Fetched) -> None:
    lanes.offer(piece, lambda: diary.acknowledged.append(piece.end))


async def settle(rounds: int = 20) -> None:
    """Lets everything run that can."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def test_pieces_that_gather_are_applied_together_up_to_the_limit() -> None:
    diary, stretch = Diary(), Stretch(0, 0)
    lanes = Lanes(diary.handle, diary, batch_size_max=10)
    diary.gate.clear()
    offer(lanes, diary, fetched(stretch, 0, 1))
    await settle()
    for start, end in ((1, 5), (5, 10), (10, 12)):
        offer(lanes, diary, fetched(stretch, start, end))
    diary.gate.set()
    await settle()
    assert diary.ends() == [(0, 1), (1, 10), (10, 12)]
    assert diary.acknowledged == [1, 5, 10, 12]
    assert stretch.outstanding == 0
    await lanes.drop()


@given(cuts=st.sets(st.integers(1, 99), max_size=30), asked=st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_whatever_more_a_handler_asks_for_the_batches_cover_the_log_once(cuts: set[int], asked: list[int]) -> None:
    async def run() -> None:
        diary, stretch = Diary(), Stretch(0, 0)

        async def handle(batch: Batch) -> None:
            await settle(3)  # more comes meanwhile
            for most in asked:
                before = len(batch.records)
                assert batch.more is not None
                batch = batch.more(most)
                assert before <= len(batch.records) <= max(before, most)
            diary.batches.append(batch)

        lanes = Lanes(handle, diary, batch_size_max=10)
        edges = [0, *sorted(cuts), 100]
        for start, end in pairwise(edges):
            offer(lanes, diary, fetched(stretch, start, end))
            await settle(1)
        await settle(len(edges) * 8)
        assert [record.offset for batch in diary.batches for record in batch.records] == list(range(100))
        assert [end for _, end in diary.ends()][:-1] == [start for start, _ in diary.ends()][1:]
        assert diary.acknowledged == edges[1:]
        assert stretch.outstanding == 0
        await lanes.drop()

    asyncio.run(run())


async def test_a_lane_that_is_let_go_gives_its_handler_no_more() -> None:
    diary, stretch = Diary(), Stretch(0, 0)
    sizes: list[int] = []

    async def handle(batch: Batch) -> None:
        await diary.gate.wait()
        assert batch.more is not None
        sizes.append(len(batch.more(10).records))

    lanes = Lanes(handle, diary, batch_size_max=10)
    diary.gate.clear()
    offer(lanes, diary, fetched(stretch, 0, 2))
    await settle()
    offer(lanes, diary, fetched(stretch, 2, 5))
    leaving = asyncio.create_task(lanes.let_go({P}, 1.0))
    await settle()
    diary.gate.set()
    assert await leaving == {P: 2}
    assert sizes == [2]


@given(cuts=st.sets(st.integers(1, 99), max_size=30), limit=st.integers(1, 60))
def test_however_the_log_is_cut_the_batches_cover_it_once(cuts: set[int], limit: int) -> None:
    async def run() -> None:
        diary, stretch = Diary(), Stretch(0, 0)
        lanes = Lanes(diary.handle, diary, batch_size_max=limit)
        edges = [0, *sorted(cuts), 100]
        for start, end in pairwise(edges):
            offer(lanes, diary, fetched(stretch, start, end))
        await settle(len(edges) * 5)
        assert [record.offset for batch in diary.batches for record in batch.records] == list(range(100))
        assert [end for _, end in diary.ends()][:-1] == [start for start, _ in diary.ends()][1:]
        assert diary.acknowledged == edges[1:]
        await lanes.drop()

    asyncio.run(run())


async def test_the_first_batch_starts_at_the_ledgers_position_even_when_the_log_begins_later() -> None:
    diary, stretch = Diary(), Stretch(position=20, start=60)
    lanes = Lanes(diary.handle, diary, batch_size_max=10)
    offer(lanes, diary, fetched(stretch, 60, 65))
    offer(lanes, diary, fetched(stretch, 65, 70))
    await settle()
    assert (diary.ends()[0][0], diary.ends()[-1][1]) == (20, 70)
    assert diary.told == []
    await lanes.drop()


async def test_a_missing_piece_asks_for_a_seek_and_nothing_after_it_is_applied() -> None:
    diary, stretch = Diary(), Stretch(0, 0)
    lanes = Lanes(diary.handle, diary, batch_size_max=10)
    offer(lanes, diary, fetched(stretch, 0, 5))
    await settle()
    offer(lanes, diary, fetched(stretch, 8, 9))
    offer(lanes, diary, fetched(stretch, 9, 10))
    await settle()
    assert diary.ends() == [(0, 5)]
    assert diary.told == [("reseek", P, "skipped")]
    assert lanes.stale == 1
    await lanes.drop()


async def test_a_hole_is_reported_only_at_the_place_sought() -> None:
    diary, stretch = Diary(), Stretch(0, 0)
    lanes = Lanes(diary.handle, diary, batch_size_max=2)
    offer(lanes, diary, fetched(stretch, 0, 5, first=3))
    offer(lanes, diary, fetched(stretch, 5, 9, first=7))
    await settle()
    assert diary.told == [("gap", P, 0, 3)]
    assert diary.ends() == [(0, 5), (5, 9)]
    await lanes.drop()


async def test_what_belongs_to_an_older_stretch_is_thrown_away() -> None:
    diary, old = Diary(), Stretch(0, 0)
    lanes = Lanes(diary.handle, diary, batch_size_max=10)
    diary.gate.clear()
    offer(lanes, diary, fetched(old, 0, 5))
    await settle()
    await lanes.drop({P})
    late = fetched(old, 5, 8)
    offer(lanes, diary, late)
    diary.gate.set()
    offer(lanes, diary, fetched(Stretch(0, 0), 0, 8))
    await settle()
    assert diary.ends() == [(0, 8)]
    assert diary.acknowledged == [8]
    assert lanes.stale == 1
    await lanes.drop()


async def test_how_a_handler_ends_is_told() -> None:
    for error, told in (
        (Fenced("moved"), ("reseek", P, "fenced")),
        (Halt("enough"), ("halt", P, "enough")),
        (ZeroDivisionError(), ("broken", ZeroDivisionError)),
        (asyncio.CancelledError(), ("broken", asyncio.CancelledError)),
    ):
        diary, stretch = Diary(), Stretch(0, 0)
        lanes = Lanes(diary.handle, diary, batch_size_max=10)
        diary.fail = error
        offer(lanes, diary, fetched(stretch, 0, 5))
        await settle()
        assert diary.told == [told]
        assert diary.acknowledged == []
        offer(lanes, diary, fetched(stretch, 5, 6))
        await settle()
        assert diary.batches == []
        await lanes.drop()


async def test_what_a_dropped_handler_raises_is_of_no_interest() -> None:
    diary, stretch = Diary(), Stretch(0, 0)

    async def stubborn(batch: Batch) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("the server has closed the connection") from None

    lanes = Lanes(stubborn, diary, batch_size_max=10)
    offer(lanes, diary, fetched(stretch, 0, 5))
    await settle()
    await lanes.drop()
    assert diary.told == []


async def two_in_work() -> tuple[Diary, Lanes, Stretch, Stretch]:
    """Lanes of P and Q with a batch of each in work, and one more piece of P that waits; their stretches."""
    diary, first, second = Diary(), Stretch(0, 0), Stretch(0, 0)
    lanes = Lanes(diary.handle, diary, batch_size_max=5)
    diary.gate.clear()
    offer(lanes, diary, fetched(first, 0, 5))
    offer(lanes, diary, fetched(second, 0, 5, Q))
    await settle()
    offer(lanes, diary, fetched(first, 5, 10))
    return diary, lanes, first, second


async def test_drain_lets_running_handlers_finish_and_forgets_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    diary, lanes, _, _ = await two_in_work()
    drain = asyncio.create_task(lanes.drain(60))
    await settle()
    diary.gate.set()
    assert await drain == {P: 5, Q: 5}
    assert "abandoned" not in caplog.text
    assert sorted(batch.partition for batch in diary.batches) == [P, Q]
    assert diary.acknowledged == [5, 5]


async def test_partitions_that_are_let_go_finish_what_is_in_work_and_the_others_go_on() -> None:
    diary, lanes, leaving, staying = await two_in_work()
    let_go = asyncio.create_task(lanes.let_go({P}, 60))
    await settle()
    diary.gate.set()
    assert await let_go == {P: 5}
    offer(lanes, diary, fetched(leaving, 10, 15))
    offer(lanes, diary, fetched(staying, 5, 10, Q))
    await settle()
    assert [(batch.partition, batch.end) for batch in diary.batches] == [(P, 5), (Q, 5), (Q, 10)]
    assert (lanes.stale, diary.told) == (1, [])
    await lanes.drop()


async def test_what_is_let_go_is_the_next_owners_matter_but_a_broken_invariant_is_told() -> None:
    for error, told in (
        (Fenced("moved"), []),
        (Halt("enough"), []),
        (ZeroDivisionError(), [("broken", ZeroDivisionError)]),
    ):
        diary, stretch = Diary(), Stretch(0, 0)
        lanes = Lanes(diary.handle, diary, batch_size_max=5)
        diary.gate.clear()
        offer(lanes, diary, fetched(stretch, 0, 5))
        await settle()
        let_go = asyncio.create_task(lanes.let_go({P}, 60))
        await settle()
        diary.fail = error
        diary.gate.set()
        assert await let_go == {P: 0}
        assert (diary.told, diary.acknowledged) == (told, [])


async def test_drain_abandons_what_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    diary, stretch = Diary(), Stretch(0, 0)
    lanes = Lanes(diary.handle, diary, batch_size_max=5)
    diary.gate.clear()
    offer(lanes, diary, fetched(stretch, 0, 5))
    await settle()
    assert not await lanes.drain(0.01)
    assert "1 batches were abandoned" in caplog.text
    assert diary.acknowledged == []
