"""The brake: says at which record a flood of bad ones begins, so that it stops the partition instead of draining it. Pure.

Bad records are judged one by one in the order of the log, from what the ledger has kept beside the position: a replay, another
worker and other batches come to the same record.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.adapters.ledger.batch import BrakeState

RUN_MAX = 100
"""So many bad records one after another are no accident: a publisher or a release of ours is broken. At 1 % bad ones by chance
a run of 100 does not happen in the life of the system."""

BLOCK_OFFSETS = 1000
"""The share of bad records is taken over blocks of so many offsets: fixed places in the log, whatever the batches are."""

BLOCK_BAD_MAX = 200
"""One in five of a block. What we have seen of single broken clients stays below one in a hundred."""


class Flood(Exception):
    """The record at `offset` is one bad record too many; everything before it can be applied."""

    def __init__(self, offset: int, reason: str) -> None:
        self.offset = offset
        self.detail = (
            f"more than {RUN_MAX} bad records one after another, or {BLOCK_BAD_MAX} in {BLOCK_OFFSETS}; "
            f"the next one is at offset {offset}, with reason {reason}"
        )
        super().__init__(self.detail)


def judge(state: BrakeState, start: int, end: int, offsets: Sequence[int], bad: Mapping[int, str]) -> BrakeState:
    """Counts the bad records of `[start, end)`. `offsets` are those of all its records, `bad` has the reason of each bad one by
    its offset; both ascend.

    Returns what is to be kept. Raises `Flood` at the first record that is one too many.
    """
    run = state.run if state.run_end == start else 0
    block, block_bad = state.block, state.block_bad
    accept_left = state.accept_left
    place = -1
    for offset, reason in bad.items():
        before, place = place, bisect_left(offsets, offset, place + 1)
        if place != before + 1:
            run = 0
        if offset // BLOCK_OFFSETS != block:
            block, block_bad = offset // BLOCK_OFFSETS, 0
        if offset < state.accept_until:
            continue
        if accept_left:
            accept_left -= 1
            continue
        run += 1
        block_bad += 1
        if run > RUN_MAX or block_bad > BLOCK_BAD_MAX:
            raise Flood(offset, reason)
    if place != len(offsets) - 1:
        run = 0
    return replace(state, run=run, run_end=end, block=block, block_bad=block_bad, accept_left=accept_left)


def on_probation(state: BrakeState, position: int) -> BrakeState:
    """The state after an operator has let a stopped partition go on: a record there that is still bad stops it again at once."""
    return replace(state, run=RUN_MAX, run_end=position, block_bad=0)
