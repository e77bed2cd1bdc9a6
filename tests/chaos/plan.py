"""Which faults a run injects, in three lanes that go side by side: processors, the other roles, servers and network."""

import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from .faults.base import Fault
from .faults.network import Cut, LostCommit, Silent, Slow
from .faults.processes import STEPS, CrashAt, Kill, RebalanceStorm, SecondDeployment, Stall, ThirdProcessor, WrongClock
from .faults.servers import Down, Flushed, FullDisk, OutOfMemory, ReadOnly, SessionsEnded
from .network import KAFKA, POSTGRES, REDIS
from .servers import SmallDisk

OTHERS = ("claims-1", "claims-2", "relay-1", "relay-2", "api", "scheduler")


@dataclass(frozen=True)
class Plan:
    """The faults of a run, by lane, in their order."""

    processors: list[Fault]
    others: list[Fault]
    servers: list[Fault]

    def lanes(self) -> Iterator[list[Fault]]:
        """The lanes."""
        yield from (self.processors, self.others, self.servers)


def short_plan(seed: int) -> Plan:
    """What every `make test` shows: each role killed, one stalled, each server lost once."""
    chance = Random(f"{seed}/plan")
    processors: list[Fault] = [Kill(_processor(chance)), Stall(_processor(chance))]
    others: list[Fault] = [_crash("claims", chance), _crash("relay", chance)]
    others += [Kill(name) for name in ("claims-1", "relay-1", "api", "scheduler")]
    servers: list[Fault] = [
        LostCommit("processor"), SessionsEnded(), Down(KAFKA), Flushed(), Down(REDIS, 2.0), Down(POSTGRES, how=signal.SIGQUIT),
    ]  # fmt: skip
    chance.shuffle(processors)
    return Plan(processors, others, servers)


def long_plan(seed: int, disks: Mapping[str, SmallDisk]) -> Plan:
    """Everything that there is, and more than twenty kills."""
    chance = Random(f"{seed}/plan")
    processors: list[Fault] = [Kill(_processor(chance)) for _ in range(3)]
    processors += [_crash("processor", chance) for _ in range(2)]
    processors += [Stall(_processor(chance)), RebalanceStorm(), ThirdProcessor(), SecondDeployment()]
    processors.append(WrongClock(_processor(chance), timedelta(hours=chance.choice((-1, 1)))))
    others: list[Fault] = [Kill(chance.choice(OTHERS)) for _ in range(12)]
    others += [_crash(role, chance) for role in ("claims", "claims", "relay", "relay", "relay")]
    others += [Stall(chance.choice(("relay-1", "relay-2")))]
    role = chance.choice(("processor", "claims", "relay", "scheduler", "api"))
    servers: list[Fault] = [
        Down(KAFKA), Down(REDIS, 3.0), Down(POSTGRES), Down(POSTGRES, how=signal.SIGQUIT), SessionsEnded(),
        Flushed(), OutOfMemory(), ReadOnly(), LostCommit("processor"), LostCommit("claims"), LostCommit("relay"),
        Cut(KAFKA), Slow(KAFKA), Silent(KAFKA), Cut(POSTGRES, role), Slow(POSTGRES), Silent(POSTGRES, role, 3.0),
        Cut(REDIS), Slow(REDIS), Silent(REDIS, "processor", 3.0),
    ]  # fmt: skip
    servers += [FullDisk(name, disk) for name, disk in disks.items()]
    for lane in (processors, others, servers):
        chance.shuffle(lane)
    return Plan(processors, others, servers)


def _processor(chance: Random) -> str:
    return f"processor-{chance.randint(1, 2)}"


def _crash(role: str, chance: Random) -> Fault:
    return CrashAt(f"{role}-{chance.randint(1, 2)}", role, chance.choice(STEPS[role]), chance.randint(1, 4))
