"""The faults: which a seed has and how often, what each call of a server is met by, and the account of all that was injected."""

import asyncio
from collections import Counter
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

from typing_extensions import override

from tests.support.memory.weather import Fate, Weather

from .loop import PROCESS

if TYPE_CHECKING:
    from .world import World


class Fault(StrEnum):
    """Everything that is done to the system, by the name that the summary shows."""

    SLOW_CALL = "a call takes up to half a second"
    KILLED_AT_CALL = "a process is killed in a call"
    POSTGRES_FAILS = "Postgres: a statement fails, the connection breaks"
    POSTGRES_BREAKS_COMMIT = "Postgres: the connection breaks before the commit"
    POSTGRES_ANSWER_LOST = "Postgres: committed, the answer is lost"
    REDIS_FAILS = "Redis: a call fails"
    REDIS_ANSWER_LOST = "Redis: done, the answer is lost"
    KAFKA_FAILS = "Kafka: a request fails"
    KAFKA_ANSWER_LOST = "Kafka: done, the answer is lost"
    KILL = "a process is killed"
    FREEZE = "a process is frozen past its session, and goes on"
    FREEZE_CUT = "a process is frozen and its connections are cut"
    POSTGRES_CRASH = "Postgres crashes"
    POSTGRES_LOSS = "Postgres crashes and loses commits"
    POSTGRES_AWAY = "Postgres is away"
    REDIS_FLUSH = "Redis is flushed"
    REDIS_AWAY = "Redis is away"
    REDIS_STALE = "Redis goes back to an older state"
    KAFKA_AWAY = "Kafka is away"
    REBALANCE = "partitions change hands"
    SKIP = "the consumer skips a batch"
    REDELIVERED = "records are delivered again"
    NEXT_DAY = "hours or days pass"
    SKEW = "a process's clock is wrong"
    DUPLICATE = "an event is produced again"
    DUPLICATE_ELSEWHERE = "an event is produced again, to another partition"
    BAD_RECORD = "a bad record"
    UNKNOWN_RECORD = "an event of unknown type"
    OLD_EVENT = "an event hours or days old"
    HOLE = "offsets without a record"
    TOGETHER = "partitions of one number are applied together"
    EARLY_CLAIM = "a claim of something not completed"
    FOREIGN_CLAIM = "a claim of somebody else's"
    REPEATED_CLAIM = "a claim again"
    CLAIMS_AT_ONCE = "claims of one thing at once"
    REUSED_KEY = "an Idempotency-Key for another request"
    CLAIM_UNANSWERED = "a claim without an answer, tried again"


PER_CALL = {
    Fault.SLOW_CALL: 0.03,
    Fault.KILLED_AT_CALL: 0.004,
    Fault.POSTGRES_FAILS: 0.008,
    Fault.POSTGRES_BREAKS_COMMIT: 0.06,
    Fault.POSTGRES_ANSWER_LOST: 0.06,
    Fault.REDIS_FAILS: 0.04,
    Fault.REDIS_ANSWER_LOST: 0.03,
    Fault.KAFKA_FAILS: 0.03,
    Fault.KAFKA_ANSWER_LOST: 0.04,
}
"""How often at most, as a share of the calls that it can meet."""

SUDDEN = (
    Fault.KILL,
    Fault.FREEZE,
    Fault.FREEZE_CUT,
    Fault.POSTGRES_CRASH,
    Fault.POSTGRES_AWAY,
    Fault.REDIS_FLUSH,
    Fault.REDIS_AWAY,
    Fault.REDIS_STALE,
    Fault.KAFKA_AWAY,
    Fault.REBALANCE,
    Fault.NEXT_DAY,
)
"""What comes out of the blue."""


class Faults(Weather):
    """The weather of one seed: some kinds of faults, some often; none any more once the world is healed."""

    def __init__(self, world: "World", rng: Random) -> None:
        self._world = world
        self._rng = rng
        self.injected: Counter[Fault] = Counter()
        is_calm = rng.random() < 0.03
        self._rates = {
            fault: 0.0 if is_calm or rng.random() < 0.4 else most * rng.random() for fault, most in PER_CALL.items()
        }
        self._at_once = rng.choice((0.0, 0.5, 0.9))
        self.sudden = [] if is_calm else [fault for fault in SUDDEN if rng.random() < 0.5]
        self.sudden_count = rng.randrange(1, 7) if self.sudden else 0

    def count(self, fault: Fault, note: str = "") -> None:
        """One more fault of this kind."""
        self.injected[fault] += 1
        self._world.note(f"FAULT {fault}{': ' if note else ''}{note}")

    @override
    async def befall(self, server: str, call: str) -> Fate:
        rng, rates, process = self._rng, self._rates, PROCESS.get()
        is_over = self._world.is_healed or process is None
        if not is_over and rng.random() < rates[Fault.SLOW_CALL]:
            self.count(Fault.SLOW_CALL, call)
            await self._world.loop.sleep(rng.random() / 2)
        elif rng.random() >= self._at_once:
            await self._world.loop.sleep(rng.random() * 0.004)
        self._world.note(f"{server} {call}")
        if is_over or process is None or self._world.is_healed:
            return Fate.WELL
        chance = rng.random()
        if chance < rates[Fault.KILLED_AT_CALL]:
            self.count(Fault.KILLED_AT_CALL, f"{process.name} in {call}")
            self._world.kill(process.name)
            await asyncio.get_running_loop().create_future()
        return self._fate(server, call, rng.random())

    def _fate(self, server: str, call: str, chance: float) -> Fate:
        if server == "postgres" and call != "commit":
            fails, lost = Fault.POSTGRES_FAILS, None
        elif server == "postgres":
            fails, lost = Fault.POSTGRES_BREAKS_COMMIT, Fault.POSTGRES_ANSWER_LOST
        elif server == "redis":
            fails, lost = Fault.REDIS_FAILS, Fault.REDIS_ANSWER_LOST
        else:
            fails, lost = Fault.KAFKA_FAILS, Fault.KAFKA_ANSWER_LOST
        if chance < self._rates[fails]:
            self.count(fails, call)
            return Fate.FAILS
        if lost is not None and chance < self._rates[fails] + self._rates[lost]:
            self.count(lost, call)
            return Fate.ANSWER_LOST
        return Fate.WELL
