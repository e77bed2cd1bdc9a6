"""The brake stops at the same record, whatever the batches are; one bad record in a hundred never stops it, bad ones alone do."""

import random

import pytest

from services.adapters.ledger.batch import BrakeState
from services.processor.brake import BLOCK_BAD_MAX, BLOCK_OFFSETS, RUN_MAX, Flood, judge, on_probation


def stops_at(bad: list[bool], cuts: list[int], state: BrakeState | None = None, first: int = 0) -> int | None:
    """The offset of the flood in a log that begins at `first` and is read in batches that end at `cuts`."""
    state = state or BrakeState()
    start = 0
    for end in [*cuts, len(bad)]:
        offsets = list(range(first + start, first + end))
        reasons = {first + place: "not_json" for place in range(start, end) if bad[place]}
        if reasons:  # a batch without bad records does not touch the brake
            try:
                state = judge(state, first + start, first + end, offsets, reasons)
            except Flood as flood:
                return flood.offset
        start = end
    return None


def batches(source: random.Random, size: int) -> list[int]:
    return sorted(source.sample(range(1, size), source.randrange(0, 30)))


@pytest.mark.parametrize("seed", range(20))
def test_the_place_of_a_flood_does_not_depend_on_the_batches(seed: int) -> None:
    print(f"seed {seed}")
    source = random.Random(seed)
    share = source.choice([0.05, 0.15, 0.25, 0.5, 0.9, 0.99])
    bad = [source.random() < share for _ in range(4000)]
    places = {stops_at(bad, batches(source, len(bad))) for _ in range(8)}
    assert len(places) == 1


def test_only_bad_records_stop_after_the_longest_run() -> None:
    assert stops_at([True] * 5000, [7, 1000]) == RUN_MAX


def test_a_quarter_of_bad_records_stops_within_a_block() -> None:
    bad = [place % 4 == 0 for place in range(3 * BLOCK_OFFSETS)]
    assert stops_at(bad, [100, 900]) == 4 * BLOCK_BAD_MAX


@pytest.mark.parametrize("seed", range(5))
def test_one_in_a_hundred_never_stops(seed: int) -> None:
    print(f"seed {seed}")
    source = random.Random(seed)
    bad = [source.random() < 0.01 for _ in range(200_000)]
    assert stops_at(bad, list(range(4000, len(bad), 4000))) is None


def test_a_good_batch_between_ends_a_run() -> None:
    bad = [True] * RUN_MAX + [False] * 50 + [True] * RUN_MAX
    assert stops_at(bad, [RUN_MAX, RUN_MAX + 50]) is None


def test_resumed_it_stops_again_at_once_if_the_record_is_still_bad_and_goes_on_if_it_is_good() -> None:
    state = on_probation(BrakeState(run=3, block_bad=BLOCK_BAD_MAX), 500)
    assert stops_at([True], [], state, first=500) == 500
    assert stops_at([False] + [True] * RUN_MAX, [], state, first=500) is None


def test_accepted_records_are_not_counted() -> None:
    state = on_probation(BrakeState(), 0)
    some = BrakeState(**{**{name: getattr(state, name) for name in BrakeState.__slots__}, "accept_left": 30})
    assert stops_at([True] * 100, [11], some) == 30
    until = BrakeState(**{**{name: getattr(state, name) for name in BrakeState.__slots__}, "accept_until": 700})
    assert stops_at([True] * 1000, [11], until) == 700
