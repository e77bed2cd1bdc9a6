"""The observer of a chaos run goes on watching, whatever a server that dies under its query makes its client raise."""

import asyncio

import asyncpg
import pytest
from typing_extensions import override

from .recovery import Observer, Sample


class _Interrupted(Observer):
    failures: list[Exception]

    @override
    async def sample(self) -> Sample:
        if self.failures:
            raise self.failures.pop()
        return Sample(1.0, {}, {}, {}, {})


@pytest.mark.parametrize(
    "failure", [asyncpg.InternalClientError("cannot switch to state 11"), OSError(), TimeoutError()]
)
async def test_an_observer_goes_on_after_a_failed_sample(failure: Exception) -> None:
    observer = _Interrupted("unused", "unused", [])
    observer.failures = [failure]
    watching = asyncio.create_task(observer.watch())
    try:
        assert await observer.until(lambda _: True, 10) == 1.0
    finally:
        watching.cancel()
