"""One chaos run: a load is published and learners live while the plan's faults come; then everything heals, drains and is verified."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from services.adapters.kafka.producer import Outgoing
from tests.chaos.verifier import verify

from .faults.base import Fault
from .plan import Plan
from .recovery import BOUND_SECONDS
from .world import PREFIX, World, ended, running_world

LEARNERS_AT_ONCE = 4
PACE_SHARE_MIN = 0.2
"""Of the pace that spreads the load evenly: when faults take longer the load is slower, but never slower than this."""
PAUSE_SECONDS = 1.0
"""Between two faults of one lane, by chance half or one and a half times as long."""

Told = Callable[[str], None]
MakePlan = Callable[[World], Plan]


@dataclass
class Injected:
    """A fault that was injected."""

    name: str
    at: float
    """Seconds since the faults began."""
    kills: int = 0
    recovered: float | None = None
    """Seconds from the kill, or from the healing of what was broken in between, until everything goes on."""
    waited: bool = False
    """Whether there was something to wait for."""


@dataclass
class Result:
    """What one run showed."""

    seed: int
    directory: Path
    injected: list[Injected] = field(default_factory=list)
    records: int = 0
    repeated: int = 0
    seconds: float = 0.0
    drain_seconds: float = 0.0
    seen: dict[str, int] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    """Processes that ended by themselves, not at a crash point: most could not start while a server was away."""
    slow: list[str] = field(default_factory=list)
    """Recoveries beyond the bound: a fault of the system on an idle machine, and of the machine on a busy one."""
    wrong: list[str] = field(default_factory=list)
    """What the learners saw that they must never see, and what the run itself found."""
    verifier: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """Processes ended by `kill -9` or at a crash point."""
        return sum(each.kills for each in self.injected)

    @property
    def recoveries(self) -> list[float]:
        """Of those killed, the seconds until everything went on."""
        return sorted(each.recovered for each in self.injected if each.kills and each.recovered is not None)

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return not self.wrong


async def run(
    directory: Path, seed: int, events: int, make_plan: MakePlan, told: Told, *, load_seconds: float
) -> Result:
    """One run in a world of its own. `load_seconds` is what the faults take on an idle machine."""
    result = Result(seed, directory)
    start = monotonic()
    told("starting servers and roles")
    async with running_world(directory, seed, events) as world:
        if not world.disks:
            told("FULL DISKS ARE LEFT OUT: this user may not mount a tmpfs")
        await stage(world, make_plan(world), world.load.records(), events, result, told, load_seconds=load_seconds)
        await settle(world, result, told)
        await check(world, result, told)
    result.seconds = monotonic() - start
    return result


async def stage(
    world: World,
    plan: Plan,
    records: Iterator[Outgoing],
    amount: int,
    result: Result,
    told: Told,
    *,
    load_seconds: float,
) -> None:
    """Injects a plan's faults while records are published and learners live. `amount` is about how many records there are.

    The load is spread over `load_seconds`, or over the faults if they take longer.
    """
    began = monotonic()
    stopping = asyncio.Event()
    learners = asyncio.create_task(world.learners.live(stopping, LEARNERS_AT_ONCE))
    pace = _pace(world, plan, amount, load_seconds)
    load = asyncio.create_task(world.upstream.publish(records, pace))
    try:
        await asyncio.gather(load, *(_lane(world, lane, result, began, told) for lane in plan.lanes()))
    finally:
        stopping.set()
        load.cancel()
        await asyncio.gather(load, learners, return_exceptions=True)
    learners.result()


async def settle(world: World, result: Result, told: Told) -> None:
    """With everything healed, waits until nothing is left to do, and lets everybody look once more."""
    told("draining")
    since = monotonic()
    await world.upstream.close()
    if not await world.drained():
        result.wrong.append("not everything was applied and published after everything had healed")
    result.drain_seconds = monotonic() - since
    told("everybody looks once more")
    await world.learners.look_all()
    if not await world.drained():
        result.wrong.append("grants were not published after everything had healed")
    if not await world.reconciled():
        result.wrong.append("the scheduler did not come round after everything had healed")


async def check(world: World, result: Result, told: Told) -> None:
    """Verifies a world at rest, and adds what was wrong to the result."""
    report = await verify(
        kafka=world.servers.kafka.address,
        dsn=world.servers.postgres.address,
        redis=world.servers.redis.address,
        prefix=PREFIX,
        catalogue="default",
        progress=lambda line: told(f"verifier: {line}"),
    )
    result.verifier = list(report.lines)
    if not report.ok:
        result.wrong.append("the verifier found differences")
    _collect(world, result)


def _pace(world: World, plan: Plan, amount: int, load_seconds: float) -> Callable[[], float]:
    """Records a second, so that about as large a part of them is published as faults are over."""
    faults = sum(len(lane) for lane in plan.lanes())
    before = world.upstream.records
    slowest = PACE_SHARE_MIN * amount / load_seconds

    def pace() -> float:
        left = load_seconds * (1 - world.injected / faults)
        return max((before + amount - world.upstream.records) / max(left, 1.0), slowest)

    world.injected = 0
    return pace


async def _lane(world: World, faults: list[Fault], result: Result, began: float, told: Told) -> None:
    for fault in faults:
        await asyncio.sleep(PAUSE_SECONDS * world.chance.uniform(0.5, 1.5))
        injected = await _inject(world, fault, began)
        world.injected += 1
        result.injected.append(injected)
        took = f": goes on after {injected.recovered:.1f} s" if injected.recovered is not None else ""
        told(f"{world.upstream.records} records, {len(result.injected)} faults: {injected.name}{took}")


async def _inject(world: World, fault: Fault, began: float) -> Injected:
    """Breaks, waits, heals, and waits until everything goes on."""
    at = monotonic()
    if fault.breaks_servers:
        world.outages.lasts = True
    await fault.inject(world)
    await asyncio.sleep(fault.seconds)
    await fault.heal(world)
    healed = monotonic()
    if fault.breaks_servers:
        world.outages.lasts = False
        world.outages.ends.append(healed)
    recovery = fault.recovery(world)
    injected = Injected(fault.name, round(at - began, 1), fault.kills)
    if recovery is not None:
        injected.waited = True
        went_on = await recovery
        if went_on is None and world.outages.any_after(healed) and (again := fault.recovery(world)) is not None:
            went_on = await again  # a server was broken meanwhile: nobody could have gone on
        if went_on is not None:
            since = world.outages.counts_from(fault.killed_at or healed, went_on)
            injected.recovered = round(max(0.0, went_on - since), 2)
    return injected


def _collect(world: World, result: Result) -> None:
    watch = world.learners.watch
    result.records, result.repeated = world.upstream.records, world.upstream.repeated
    result.seen = dict(watch.counts) | {"grants": len(watch.grants)}
    result.wrong += watch.wrong + ended(world.watchers)
    result.ended = [f"{e.member} ({e.code})" for e in world.fleet.ended if not e.at_crash_point]
    result.wrong += [f"not going on after: {i.name}" for i in result.injected if i.waited and i.recovered is None]
    result.slow = [
        f"{i.name}: went on only after {i.recovered} s, the bound is {BOUND_SECONDS:.0f} s"
        for i in result.injected
        if i.kills and i.recovered is not None and i.recovered > BOUND_SECONDS
    ]
