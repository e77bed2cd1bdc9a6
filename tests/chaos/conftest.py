"""One world for all tests of this suite: its servers are broken again and again, so they are nobody else's."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from services.adapters.kafka.producer import Outgoing
from tests.support.stack import temporary_directory

from .plan import Plan
from .run import Result, check, settle, stage
from .world import World, running_world

EVENTS = 6000
"""Enough for all tests of the suite; what they leave is never published."""


@dataclass
class Chaos:
    """The world, and the rest of its load."""

    world: World
    records: Iterator[Outgoing]

    async def survives(self, plan: Plan, *, records: int, seconds: float) -> Result:
        """Injects the plan while so many records are published over about so many seconds; fails unless all is accounted for."""
        result = Result(self.world.load.seed, self.world.directory)
        load = islice(self.records, records)
        await stage(self.world, plan, load, records, result, print, load_seconds=seconds)
        await settle(self.world, result, print)
        await check(self.world, result, print)
        assert result.wrong == []
        assert result.verifier[-1] == "ALL EVENTS ACCOUNTED FOR"
        return result


@pytest.fixture(scope="module")
async def chaos() -> AsyncIterator[Chaos]:
    """A system that is up; MISSIONS_CHAOS_SEED chooses what happens to it."""
    seed = int(os.environ.get("MISSIONS_CHAOS_SEED") or secrets.randbelow(10**6))
    print(f"again with: MISSIONS_CHAOS_SEED={seed}")
    with temporary_directory() as directory:
        async with running_world(Path(directory), seed, EVENTS) as world:
            yield Chaos(world, world.load.records())
