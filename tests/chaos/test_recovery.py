"""The observer of a chaos run goes on watching whatever a dying server makes its client raise; if it ends all the same, the run says so."""

import asyncio
from dataclasses import dataclass, field

import asyncpg
import pytest
from typing_extensions import override

from .recovery import Observer, Outages, Sample
from .world import ended


@dataclass
class _Interrupted(Observer):
    failures: list[Exception] = field(default_factory=list)

    @override
    async def sample(self) -> Sample:
        if self.failures:
            raise self.failures.pop()
        return Sample(1.0, {}, {}, {}, {})


@pytest.mark.parametrize(
    "failure", [asyncpg.InternalClientError("cannot switch to state 11"), OSError(), TimeoutError()]
)
async def test_an_observer_goes_on_after_a_failed_sample(failure: Exception) -> None:
    observer = _Interrupted("unused", "unused", [], failures=[failure])
    watching = asyncio.create_task(observer.watch())
    try:
        assert await observer.until(lambda _: True, 10) == 1.0
    finally:
        watching.cancel()


async def test_an_observer_that_ended_is_named_with_its_error() -> None:
    observer = _Interrupted("unused", "unused", [], failures=[ZeroDivisionError("a fault of its own")])
    watching = asyncio.create_task(observer.watch(), name="observer")
    await asyncio.wait([watching], timeout=10)

    assert ended([watching]) == ["the run's own observer ended: ZeroDivisionError('a fault of its own')"]


async def test_an_observer_that_goes_on_is_not_named() -> None:
    watching = asyncio.create_task(_Interrupted("unused", "unused", []).watch(), name="observer")
    try:
        assert ended([watching]) == []
    finally:
        watching.cancel()


def test_a_recovery_counts_from_the_server_that_was_whole_again_last_even_if_another_is_broken_by_now() -> None:
    """A worker killed at 10, Kafka's disk full until 30, everything goes on at 45, and Redis is broken at 44.9."""
    outages = Outages(lasts=True, ends=[5.0, 30.0])
    assert outages.counts_from(10.0, 45.0) == 30.0


@pytest.mark.parametrize("ends", [[], [5.0], [46.0]])
def test_a_recovery_counts_from_the_kill_if_no_server_was_broken_meanwhile(ends: list[float]) -> None:
    assert Outages(ends=ends).counts_from(10.0, 45.0) == 10.0
