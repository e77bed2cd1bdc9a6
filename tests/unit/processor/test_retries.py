"""Waiting for a server that is away: nobody spins, and who is through first brings the others back."""

import asyncio
import random
from time import monotonic

import pytest

from services.processor.retries import RETRY_SECONDS_FIRST, Retries, Tries

LONG_SECONDS = 10.0
"""Longer than it takes any machine to wake three tasks, at the least that is made of it too."""


async def asleep_for_long(retries: Retries, number: int) -> list["asyncio.Task[None]"]:
    """Lanes that wait for so long that only somebody else can end it within the test."""

    async def lane() -> None:
        tries = retries.begin()
        tries.seconds = LONG_SECONDS
        await tries.wait()

    tasks = [asyncio.create_task(lane()) for _ in range(number)]
    while len(retries._asleep) < number:  # noqa: ASYNC110 - nobody tells of one that has fallen asleep
        await asyncio.sleep(0)
    return tasks


async def failed_once(retries: Retries) -> Tries:
    tries = retries.begin()
    await tries.wait()
    return tries


async def test_the_first_that_is_through_after_a_failure_wakes_all_others() -> None:
    retries = Retries()
    first = await failed_once(retries)
    lanes = await asleep_for_long(retries, 3)

    first.through()

    # Without the waking they sleep for five seconds at least.
    done, _ = await asyncio.wait(lanes, timeout=LONG_SECONDS * 0.5 - 0.5)
    assert done == set(lanes)


async def test_work_that_never_failed_wakes_nobody() -> None:
    retries = Retries()
    lanes = await asleep_for_long(retries, 1)

    retries.begin().through()
    done, pending = await asyncio.wait(lanes, timeout=0.1)

    assert not done
    for task in pending:
        task.cancel()


async def test_nobody_is_woken_before_the_shortest_wait_is_over() -> None:
    """Two that fail in turns, each waking the other by something that succeeds in between, must not spin."""
    retries = Retries()
    began = monotonic()
    lane = asyncio.create_task(retries.sleep(1.0))
    await asyncio.sleep(0)
    retries.wake()
    await asyncio.sleep(RETRY_SECONDS_FIRST / 2)
    retries.wake()
    assert not lane.done()
    while not lane.done():
        retries.wake()
        await asyncio.sleep(0)
    assert monotonic() - began >= RETRY_SECONDS_FIRST
    assert retries.retried_at >= began


async def test_waits_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    retries, slept = Retries(), []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(retries, "sleep", sleep)
    monkeypatch.setattr(random, "uniform", lambda _low, _high: 1.0)
    tries = retries.begin()
    for _ in range(9):
        await tries.wait()

    assert slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


async def test_a_lane_that_is_cancelled_leaves_nothing_behind() -> None:
    retries = Retries()
    (lane,) = await asleep_for_long(retries, 1)
    lane.cancel()
    await asyncio.wait([lane])
    assert not retries._asleep
