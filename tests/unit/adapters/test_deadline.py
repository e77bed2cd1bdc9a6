"""A call that does not end in time is left behind, and nobody hears of it again."""

import asyncio

import pytest

from services.adapters.deadline import within


async def test_an_answer_in_time_is_the_answer() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 7

    assert await within(5, answer()) == 7


async def test_an_error_in_time_is_the_error() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await within(5, fail())


async def test_a_call_that_refuses_to_end_holds_nobody_up() -> None:
    let_go, ended = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        try:
            await let_go.wait()
        except asyncio.CancelledError:
            await let_go.wait()  # as a driver that waits for its server
            ended.set()
            raise RuntimeError("too late for anybody to care") from None

    with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"):
        await within(0.01, stubborn())
    assert not ended.is_set()
    let_go.set()
    await ended.wait()


async def test_whoever_is_cancelled_cancels_the_call() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def call() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(within(60, call()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await cancelled.wait()
