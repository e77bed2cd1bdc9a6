"""A whole system survives what its machines and networks do to it: each event counts once, each reward is granted once, nothing is lost."""

from datetime import timedelta

import pytest

from .conftest import Chaos
from .faults.processes import RebalanceStorm, SecondDeployment, ThirdProcessor, WrongClock
from .faults.servers import Flushed, OutOfMemory, ReadOnly
from .plan import Plan, short_plan

pytestmark = pytest.mark.timeout(600)


async def test_roles_killed_and_stalled_while_each_server_is_lost(chaos: Chaos) -> None:
    result = await chaos.survives(short_plan(chaos.world.load.seed), records=3000, seconds=35)

    assert result.kills >= 5
    assert result.seen["claims answered"] > 0


async def test_redis_that_takes_no_writes(chaos: Chaos) -> None:
    await chaos.survives(Plan([], [], [OutOfMemory(), ReadOnly(), Flushed()]), records=500, seconds=9)


async def test_a_second_deployment_on_the_ledger(chaos: Chaos) -> None:
    await chaos.survives(Plan([ThirdProcessor(), SecondDeployment()], [], []), records=800, seconds=15)


async def test_a_rebalance_storm(chaos: Chaos) -> None:
    await chaos.survives(Plan([RebalanceStorm()], [], []), records=600, seconds=12)


async def test_workers_whose_clocks_are_an_hour_fast_and_slow(chaos: Chaos) -> None:
    """The record's timestamp decides, never a worker's clock. The last test: the clocks stay wrong."""
    hour = timedelta(hours=1)
    wrong = Plan([WrongClock("processor-1", hour), WrongClock("processor-2", -hour)], [], [])
    await chaos.survives(wrong, records=600, seconds=8)
