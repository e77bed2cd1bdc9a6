"""A whole system survives what its machines and networks do to it: each event counts once, each reward is granted once, nothing is lost."""

from datetime import timedelta

import pytest

from .conftest import Chaos
from .faults.base import Fault
from .faults.processes import RebalanceStorm, SecondDeployment, ThirdProcessor, WrongClock
from .faults.servers import Flushed, OutOfMemory, ReadOnly
from .plan import Plan, short_plan

pytestmark = pytest.mark.timeout(600)


async def test_roles_killed_and_stalled_while_each_server_is_lost(chaos: Chaos) -> None:
    result = await chaos.survives(short_plan(chaos.world.load.seed), records=3000, seconds=35)

    assert result.kills >= 5
    assert result.seen["claims answered"] > 0


async def test_workers_that_come_and_go_with_wrong_clocks_on_a_redis_that_takes_no_writes(chaos: Chaos) -> None:
    """Clocks first: the record's timestamp decides, never a worker's clock. Then second deployments by mistake, and a storm."""
    hour = timedelta(hours=1)
    workers: list[Fault] = [WrongClock("processor-1", hour), WrongClock("processor-2", -hour)]
    workers += [ThirdProcessor(), SecondDeployment(), RebalanceStorm(comings=2)]
    redis: list[Fault] = [OutOfMemory(), ReadOnly(), Flushed()]
    await chaos.survives(Plan(workers, [], redis), records=2000, seconds=25)
