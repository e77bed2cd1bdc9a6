"""What comes out of the blue: kills, stalls, crashes and outages, one after the other or at once."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from .consumer import SESSION_SECONDS
from .faults import Fault
from .roles import ROLES, ProcessorRole, Role

if TYPE_CHECKING:
    from .world import World

HOURS = (6, 12, 24, 30, 48, 66)
"""What passes at once: whole quarters of days, so that no bound of lateness comes near."""

HOURS_MAX = 66
"""What passes in all. One partition may lag behind another for four days (`closing.OVERTAKEN_MAX`), counted from the end of
the period that an event is about; and events arrive up to a day after that end."""

FLUSHED: dict[str, bytes] = {}


class Nemesis:
    """Does one sudden thing after the other."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._older = [FLUSHED]

    async def run(self, seconds: float) -> None:
        """Does what the seed has in store, at random instants."""
        world, rng = self._world, self._world.rng
        if rng.random() < 0.3:
            for name in ROLES:
                if rng.random() < 0.5:
                    world.faults.count(Fault.SKEW, name)
                    world.skew(name, timedelta(seconds=rng.randrange(-60, 61)))
        for when in sorted(rng.random() * seconds for _ in range(world.faults.sudden_count)):
            await asyncio.sleep(max(0.0, when - world.loop.now))
            self._older.append(dict(world.redis.values))
            self._strike(rng.choice(world.faults.sudden))
        await asyncio.sleep(max(0.0, seconds - world.loop.now))

    def _strike(self, fault: Fault) -> None:
        world, rng = self._world, self._world.rng
        match fault:
            case Fault.KILL | Fault.FREEZE | Fault.FREEZE_CUT:
                if role := world.role(rng.choice(list(ROLES))):
                    self._strike_process(fault, role)
            case Fault.POSTGRES_CRASH | Fault.POSTGRES_AWAY:
                self._crash(fault, rng.random() * (3 if fault is Fault.POSTGRES_AWAY else 0.3))
            case Fault.REDIS_FLUSH:
                world.faults.count(fault, f"{len(world.redis.values)} users")
                world.redis.values.clear()
            case Fault.REDIS_STALE:
                world.faults.count(fault)
                world.redis.values = dict(rng.choice(self._older))
            case Fault.REDIS_AWAY:
                world.faults.count(fault)
                world.redis.is_up = False
                world.loop.outside(rng.random() * 3, setattr, world.redis, "is_up", True)
            case Fault.KAFKA_AWAY:
                world.faults.count(fault)
                world.kafka.is_up = False
                world.loop.outside(rng.random() * 3, setattr, world.kafka, "is_up", True)
            case Fault.REBALANCE:
                world.faults.count(fault)
                world.group.rebalance()
            case _:
                hours = rng.choice(HOURS)
                if world.hours_passed + hours <= HOURS_MAX:
                    world.faults.count(Fault.NEXT_DAY, f"{hours} h")
                    world.hours_passed += hours

    def _strike_process(self, fault: Fault, role: Role) -> None:
        world, rng = self._world, self._world.rng
        name = role.process.name
        world.faults.count(fault, name)
        if fault is Fault.KILL:
            world.kill(name)
            return
        world.loop.freeze(role.process)
        if fault is Fault.FREEZE_CUT:
            world.loop.outside(rng.random(), world.postgres.end_sessions, role.owner)
        if isinstance(role, ProcessorRole):
            world.loop.outside(SESSION_SECONDS, self._expire, role)
        world.loop.outside(SESSION_SECONDS * (0.5 + rng.random()), self._thaw, role)

    def _expire(self, role: ProcessorRole) -> None:
        if role.process.is_frozen or not role.process.is_alive:
            self._world.group.leave(role.process)

    def _thaw(self, role: Role) -> None:
        if role.process.is_frozen:
            self._world.note(f"{role.owner} goes on")
            self._world.loop.thaw(role.process)
            role.thawed()

    def _crash(self, fault: Fault, seconds: float) -> None:
        world = self._world
        unflushed = len(world.postgres.unflushed)
        lost = world.postgres.crash(world.rng.randrange(unflushed + 1))
        world.faults.count(fault)
        if lost:
            world.faults.count(Fault.POSTGRES_LOSS, f"{lost} of {unflushed}")
        world.postgres.is_up = False
        world.loop.outside(seconds, setattr, world.postgres, "is_up", True)

    def heal(self) -> None:
        """Ends all that is still going on."""
        world = self._world
        world.postgres.is_up = world.redis.is_up = world.kafka.is_up = True
        for role in list(world.roles.values()):
            self._thaw(role)
