"""What comes from outside: records of all kinds, and users who claim, again and again until they are answered."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mission_events import LearningData, encode_event
from services.claims.claim_reward import ClaimCommand, Granted, LedgerUnavailable, Refused
from tests.support.events import item, lesson, xp

from .faults import Fault
from .roles import ClaimsRole

if TYPE_CHECKING:
    from .world import World

XP, LESSONS, ITEMS = "learning.xp-earned", "learning.lesson-completed", "learning.item-used"
INPUT = {XP: 2, LESSONS: 2, ITEMS: 2}
"""Topics and their partitions. No mission here counts items: their topic is company for the others."""

USERS = ("ann", "bob", "cleo")
CLIENT_PATIENCE_SECONDS = 6.0


@dataclass(frozen=True)
class Produced:
    """A record as it was produced."""

    topic: str
    key: bytes
    value: bytes | None
    at: datetime


class Producers:
    """Upstream services."""

    def __init__(self, world: "World", records: int) -> None:
        self._world = world
        self._left = records
        self.produced: list[Produced] = []
        self._numbers = 0
        self._hours = world.hours_passed

    async def run(self, seconds: float) -> None:
        """Produces all records, spread over the time."""
        rng = self._world.rng
        while self._left > 0:
            await asyncio.sleep(rng.random() * 2 * seconds / (self._left + 6))
            number = rng.choice((0, 1)) if rng.random() < self._world.togetherness else None
            for _ in range(min(self._left, rng.choice((1, 1, 2, 4) if number is None else (3, 6)))):
                self._left -= 1
                self._produce(number)

    def _produce(self, number: int | None) -> None:
        """Produces one record, of any topic, to its partition of this number or to any."""
        world, rng = self._world, self._world.rng
        chance = rng.random()
        again = [each for each in self.produced if self._hours == world.hours_passed and each.value]
        if chance < world.oddness["again"] and again and self._hours == world.hours_passed:
            self._again(rng.choice(again))
            return
        if self._hours != world.hours_passed:
            self._hours, self.produced = world.hours_passed, []  # past a bound of lateness the copy could decide
        user, topic = rng.choice(USERS), rng.choice((XP, XP, LESSONS, LESSONS, ITEMS))
        if rng.random() < world.oddness["bad"]:
            world.faults.count(Fault.BAD_RECORD)
            value = rng.choice((None, b"", b"{", b"[1]", _event(world, user, topic, "x y", world.now())))
        elif rng.random() < world.oddness["unknown"]:
            world.faults.count(Fault.UNKNOWN_RECORD)
            value = _event(world, user, topic, self._id(), world.now()).replace(topic.encode(), b"learning.new")
        else:
            value = _event(world, user, topic, self._id(), self._time())
        self._append(
            Produced(topic, user.encode(), value, world.now()),
            rng.randrange(INPUT[topic]) if number is None else number,
        )

    def _id(self) -> str:
        self._numbers += 1
        return f"e{self._numbers}"

    def _time(self) -> datetime:
        world, rng = self._world, self._world.rng
        if rng.random() < world.oddness["old"]:
            world.faults.count(Fault.OLD_EVENT)
            return world.now() - timedelta(hours=rng.choice((3, 12, 24, 30, 48, 72, 200)))
        return world.now() - timedelta(seconds=rng.randrange(60))

    def _again(self, record: Produced) -> None:
        partition = self._world.rng.randrange(INPUT[record.topic])
        home = self._world.home.get(record.value or b"")
        self._world.faults.count(Fault.DUPLICATE if home == partition else Fault.DUPLICATE_ELSEWHERE)
        self._append(record, partition)

    def _append(self, record: Produced, partition: int) -> None:
        world = self._world
        self.produced.append(record)
        world.home.setdefault(record.value or b"", partition)
        if world.rng.random() < world.oddness["hole"]:
            world.faults.count(Fault.HOLE)
            world.kafka.logs[record.topic, partition].append(None)
        timestamp = int(world.now().timestamp() * 1000)
        offset = world.kafka.append(record.topic, partition, record.key, record.value, timestamp=timestamp)
        world.note(f"{record.topic}[{partition}] {offset} is {record.value!r}")
        world.wake_consumers()


def _event(world: "World", user: str, topic: str, event_id: str, at: datetime) -> bytes:
    rng = world.rng
    data: LearningData = item()
    if topic == XP:
        data = xp(rng.choice((1, 4, 8, 15, 40)))
    elif topic == LESSONS:
        data = lesson(f"l{rng.randrange(3)}")
    if " " in event_id:
        return encode_event(data, event_id="e", source="sim", subject=user, time=at).replace(b'"id":"e"', b'"id":"x y"')
    return encode_event(data, event_id=event_id, source="sim", subject=user, time=at)


class Claimants:
    """Users at their phones."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.waiting = 0
        self._keys = 0

    async def run(self, until: float) -> None:
        """Claims at random until that instant."""
        world, rng = self._world, self._world.rng
        while world.loop.time() < until:
            await asyncio.sleep(rng.random() * world.claim_seconds)
            rows = list(world.postgres.tables["assignment"].values())
            if not rows:
                continue
            ripe = [row for row in rows if row["status"] in ("COMPLETED", "CLAIMED")]
            row = rng.choice(ripe if ripe and rng.random() < 0.7 else rows)
            self._claim(row["user_id"], row["assignment_id"], row["status"])

    def _claim(self, user: str, assignment_id: str, status: str) -> None:
        world, rng = self._world, self._world.rng
        if rng.random() < 0.05:
            world.faults.count(Fault.FOREIGN_CLAIM)
            user = rng.choice([each for each in USERS if each != user])
        elif status == "IN_PROGRESS":
            world.faults.count(Fault.EARLY_CLAIM)
        elif status == "CLAIMED":
            world.faults.count(Fault.REPEATED_CLAIM)
        key = None
        if rng.random() < 0.5:
            self._keys += 1
            key = f"key-{self._keys}"
            if rng.random() < 0.1 and (used := world.checks.key_of(user)):
                key = used
                world.faults.count(Fault.REUSED_KEY)
        taps = rng.choice((1, 1, 1, 2, 3))
        if taps > 1:
            world.faults.count(Fault.CLAIMS_AT_ONCE)
        for _ in range(taps):
            world.loop.start_outside(self._until_answered(ClaimCommand(user, assignment_id, key)))

    async def _until_answered(self, command: ClaimCommand) -> None:
        world = self._world
        self.waiting += 1
        answer: Granted | Refused | None = None
        while answer is None:
            service = world.role(world.rng.choice(("claims-1", "claims-2")))
            if isinstance(service, ClaimsRole):
                try:
                    answer = await asyncio.wait_for(self._ask(service, command), CLIENT_PATIENCE_SECONDS)
                except (LedgerUnavailable, TimeoutError):
                    world.faults.count(Fault.CLAIM_UNANSWERED, str(command))
            if answer is None:
                await asyncio.sleep(world.rng.random())
        self.waiting -= 1
        world.checks.claim_answered(command, answer)

    async def _ask(self, service: ClaimsRole, command: ClaimCommand) -> Granted | Refused:
        """The answer comes from another process, and never if that is killed."""
        world = self._world
        answer: asyncio.Future[Granted | Refused] = world.loop.create_future()

        async def handle() -> None:
            try:
                found = await service.claim_reward(command, world.wall(service.process))
            except LedgerUnavailable as error:
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(found)

        world.start(service.process, handle)
        return await answer
