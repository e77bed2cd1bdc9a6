"""Faults of our own processes: killed at random, ended at a crash point, stopped and back, joining and leaving in a storm."""

import signal
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import ClassVar

from typing_extensions import override

from services.adapters.kafka.settings import SESSION_TIMEOUT_S
from services.claims.claim_reward import STEPS as CLAIMS_STEPS
from services.processor.apply_batch import STEPS as PROCESSOR_STEPS
from services.relay.publication import STEPS as RELAY_STEPS
from tests.chaos.fleet import Member
from tests.chaos.recovery import RECOVERY_SECONDS_MAX
from tests.chaos.world import World

from .base import Fault

STEPS = {"processor": PROCESSOR_STEPS, "claims": CLAIMS_STEPS, "relay": RELAY_STEPS}
"""Crash points that a run passes all the time. The scheduler's have a test of their own: it works in chunks at midnight."""

CRASH_SECONDS_MAX = 15.0
"""A role comes to its crash point within this time, or there is too little to do; then it is only started again."""


WRONG_CLOCK = Path(__file__).parents[1] / "wrong_clock"
"""On a Python's path, this folder gives it a clock that is wrong."""


class _RoleFault(Fault):
    """A fault of a member of the fleet."""

    breaks_servers = False

    def __init__(self, member: str) -> None:
        self._member = member

    def _of(self, world: World) -> Member:
        return world.fleet.members[self._member]

    @override
    def recovery(self, world: World) -> Awaitable[float | None]:
        member, observer = self._of(world), world.observer
        if member.role == "processor":
            return observer.until(observer.processing_goes_on())
        if member.role == "relay":
            return observer.until(observer.publishing_goes_on())
        return member.until_ready(RECOVERY_SECONDS_MAX)


class Kill(_RoleFault):
    """`kill -9` wherever it is; started again at once."""

    kills = 1

    def __init__(self, member: str) -> None:
        super().__init__(member)
        self.name = f"kill -9 {member}"

    @override
    async def inject(self, world: World) -> None:
        self.killed_at = monotonic()
        await self._of(world).kill()
        self._of(world).start()


class CrashAt(_RoleFault):
    """Started again with a crash point, at which it ends itself."""

    def __init__(self, member: str, role: str, step: str, count: int) -> None:
        super().__init__(member)
        self._point = f"{role}.{step}:{count}"
        self.name = f"{member} at {self._point}"

    @override
    async def inject(self, world: World) -> None:
        member = self._of(world)
        await member.end()
        member.start(MISSIONS_CRASH_AT=self._point)
        member.wanted = False  # the keeper is to leave it alone until it has crashed
        if member.role == "relay":
            await self._take_its_lanes(world, member)
        reached = await member.until_gone(RECOVERY_SECONDS_MAX, CRASH_SECONDS_MAX)
        self.killed_at = monotonic()
        self.kills += int(reached)
        if not reached:
            self.name += " (not reached)"
            await member.end()
        member.start()

    async def _take_its_lanes(self, world: World, member: Member) -> None:
        """The other relay holds all lanes meanwhile: it is killed, and this one takes them."""
        await member.until_ready(CRASH_SECONDS_MAX)
        for other in world.fleet.of("relay"):
            if other is not member:
                self.kills += 1
                await other.kill()
                other.start()


class Stall(_RoleFault):
    """SIGSTOP for longer than the session lasts, then SIGCONT: a worker that comes back as a zombie."""

    seconds = SESSION_TIMEOUT_S + 2.0

    def __init__(self, member: str) -> None:
        super().__init__(member)
        self.name = f"SIGSTOP {member}"

    @override
    async def inject(self, world: World) -> None:
        self._of(world).send(signal.SIGSTOP)

    @override
    async def heal(self, world: World) -> None:
        self._of(world).send(signal.SIGCONT)


class WrongClock(_RoleFault):
    """A processor whose clock is wrong, from now on: it is started again with one."""

    def __init__(self, member: str, off: timedelta) -> None:
        super().__init__(member)
        self._off = off
        self.name = f"{member}: clock wrong by {off.total_seconds() / 3600:+.0f} h"

    @override
    async def inject(self, world: World) -> None:
        member = self._of(world)
        await member.end()
        member.environment |= {"PYTHONPATH": str(WRONG_CLOCK), "CHAOS_CLOCK_SECONDS": str(self._off.total_seconds())}
        member.start()


class _Visitor(Fault):
    """A processor that comes beside the fleet's own, works for a while, and is killed."""

    breaks_servers = False
    kills = 1
    seconds = 5.0
    environment: ClassVar[dict[str, str]] = {}

    @override
    async def inject(self, world: World) -> None:
        self._visitor = world.member(f"visitor-{len(world.extra)}", "processor", **self.environment)
        await self._visitor.come(RECOVERY_SECONDS_MAX)

    @override
    async def heal(self, world: World) -> None:
        self.killed_at = monotonic()
        await self._visitor.kill()


class ThirdProcessor(_Visitor):
    """A second deployment by mistake, in the same consumer group: it takes partitions from the others."""

    name = "a second deployment in the same group"


class SecondDeployment(_Visitor):
    """A second deployment in a consumer group of its own: every record is offered twice, and applied by whoever comes first."""

    environment: ClassVar[dict[str, str]] = {"MISSIONS_CONSUMER_GROUP": "another-deployment"}

    name = "a second deployment in another group"


class RebalanceStorm(Fault):
    """Workers join the group and leave it again and again, every other one without a word."""

    breaks_servers = False

    def __init__(self, comings: int = 4) -> None:
        self._comings = comings

    name = "rebalance storm"

    @override
    async def inject(self, world: World) -> None:
        for number in range(self._comings):
            visitor = world.member(f"storm-{len(world.extra)}", "processor")
            await visitor.come(RECOVERY_SECONDS_MAX)
            if number % 2:
                await visitor.end()
            else:
                self.kills += 1
                self.killed_at = monotonic()
                await visitor.kill()
