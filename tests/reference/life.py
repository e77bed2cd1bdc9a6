"""A seeded random life: what a crowd of learners does in some simulated days, as rounds of records to publish.

Everything that the order of delivery may not decide is left to chance: records of different topics race within a round, sessions
arrive late, records come twice, and among them are some that nobody can read. What the order does decide (the facts that are known
when a period is issued, a change of zone) is kept apart by rounds: a user has at most one session in a round, it lies within one
local day, and its first record is published alone.
"""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from .journal import SESSION, STREAK, XP, Look, Record
from .learner import LANGUAGES, Happening, Learner
from .noise import unreadable

ROUND = timedelta(hours=3)
DAY = timedelta(days=1)
SESSION_LENGTH_MAX = timedelta(minutes=45)
PARTITIONS = 4

HOMES = (
    "Europe/Berlin", "Europe/Berlin", "Europe/Berlin", "America/New_York", "America/New_York", "Asia/Kathmandu",
    "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Kiritimati", "Etc/GMT+12", "Australia/Sydney", "America/St_Johns",
    "Pacific/Chatham", "America/Sao_Paulo", "America/Santiago", "Africa/Casablanca", "Asia/Tokyo", "UTC",
)  # fmt: skip
"""From +14 to -12, with half and quarter hours; Lord Howe moves its clocks by half an hour, Santiago at midnight."""

CLOCK_CHANGES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Australia/Sydney", "America/Santiago")


@dataclass
class Round:
    """Three simulated hours: first the clock and the looks, then one record of each user, then all the others, then claims."""

    now: datetime
    tick: bool
    looks: list[Look] = field(default_factory=list)
    openers: list[Record] = field(default_factory=list)
    others: list[Record] = field(default_factory=list)

    @property
    def claims_at(self) -> datetime:
        """After everything in it."""
        return self.now + ROUND - timedelta(minutes=1)


@dataclass
class Visit:
    """Some happenings of one user whose records reach the log in one round."""

    happenings: list[Happening]
    delivered: int
    is_offline: bool


class Life:
    """`rounds` follow from the arguments alone. `start` is midnight UTC of the first day."""

    def __init__(self, seed: int, start: datetime, days: int = 7, users: int = 200) -> None:
        self.seed = seed
        self.start = start
        self.days = days
        chance = Random(seed)
        self.rounds = [
            Round(start + number * ROUND, tick=chance.random() < 0.6) for number in range(days * (DAY // ROUND))
        ]
        self.end = start + days * DAY
        self.users = [f"life-{seed:x}-{number}" for number in range(users)]
        for number, name in enumerate(self.users):
            self._live(name, Random(f"{seed}/{number}"))
        for round_ in self.rounds:
            round_.others += unreadable(chance, round_.now, self.users)
            for records in (round_.openers, round_.others):
                records.sort(key=lambda record: record.at)  # stable: of one user and topic the order stays

    def _live(self, name: str, chance: Random) -> None:
        """Adds one learner's life to the rounds."""
        born = self.start + chance.choice((0, 0, 0, 1, 2, 3)) * DAY
        homes = [(born, chance.choice(HOMES))]
        if chance.random() < 0.2:
            homes += [(born + chance.randint(12, 120) * timedelta(hours=1), chance.choice(HOMES)) for _ in range(2)]
        learner = Learner(
            name,
            chance,
            sorted(homes),
            diligence=chance.choice((0.35, 0.7, 0.9, 1.0)),
            mistakes_rate=chance.choice((0.1, 0.3, 0.6)),
            tells_zone=chance.random() < 0.93,
            language=chance.choice(LANGUAGES),
        )
        seen_zone = chance.choice((homes[0][1], homes[0][1], chance.choice(HOMES))) if chance.random() < 0.15 else None
        visits = self._visits(learner, born, {"UTC", seen_zone or "UTC", *(zone for _, zone in homes)})
        if seen_zone:
            self._look(learner, visits, seen_zone)
        zone_told = False
        for visit in sorted(visits, key=lambda visit: visit.delivered):
            tells = [happening for happening in visit.happenings if happening.type == SESSION]
            may_move = bool(tells) and (len(homes) > 1 or not zone_told)
            zone_told = zone_told or bool(tells)
            self._deliver(learner, visit, tells[0] if may_move else chance.choice(visit.happenings))

    def _visits(self, learner: Learner, born: datetime, zones: set[str]) -> list[Visit]:
        """The sessions of a learner; most are told at once, some when the phone is online again, hours or days later."""
        chance = learner.chance
        times = sorted(self._times(learner, born, zones))
        taken = {self._round_of(at) for at in times}
        free = sorted(set(range(self._round_of(born), len(self.rounds))) - taken)
        visits = []
        for at in times:
            own = self._round_of(at)
            late = [number for number in free if own < number <= own + chance.choice((2, 8, 16, 30))]
            delivered = chance.choice(late) if late and chance.random() < 0.12 else own
            if delivered != own:
                free.remove(delivered)
            visits.append(Visit(learner.session(at), delivered, delivered != own))
        if free and (not times or chance.random() < 0.35):
            visits.append(Visit(learner.old_phone(self.start - 13 * DAY), chance.choice(free[:12]), True))
        return visits

    def _times(self, learner: Learner, born: datetime, zones: set[str]) -> Iterator[datetime]:
        """When sessions begin: at most one in a round, and none over a midnight of a zone that may be taken for the user's."""
        chance = learner.chance
        taken: set[int] = set()
        for number in range(-1, self.days + 2):
            if chance.random() > learner.diligence:
                continue
            for _ in range(chance.choice((1, 1, 2, 2, 3))):
                zone = ZoneInfo(learner.zone(self.start + number * DAY))
                hour = chance.choice((0, 6, 7, 8, 9, 12, 13, 15, 17, 18, 19, 20, 21, 22, 23))
                local = (self.start + number * DAY).replace(tzinfo=zone, hour=hour, minute=chance.randrange(60))
                at = local.astimezone(UTC) + timedelta(seconds=chance.randrange(60))
                over = at + SESSION_LENGTH_MAX
                if self._round_of(at) not in taken and born <= at and self._is_in_one(at, over, zones):
                    taken.add(self._round_of(at))
                    yield at

    def _is_in_one(self, at: datetime, over: datetime, zones: set[str]) -> bool:
        """Whether both instants are in one round of this life and in one day of each zone."""
        one_day = all(at.astimezone(ZoneInfo(zone)).date() == over.astimezone(ZoneInfo(zone)).date() for zone in zones)
        return one_day and self._round_of(at) == self._round_of(over) and over < self.end

    def _round_of(self, at: datetime) -> int:
        return (at - self.start) // ROUND

    def _look(self, learner: Learner, visits: list[Visit], zone: str) -> None:
        """The app asks for missions before it has told anything else, perhaps from a wrong time zone; later without one."""
        first = min((visit.delivered for visit in visits), default=0)
        round_ = self.rounds[learner.chance.randint(max(0, first - 2), first)]
        round_.looks.append(Look(learner.name, round_.now, zone))
        for later in learner.chance.sample(self.rounds[first + 1 :], k=min(3, len(self.rounds) - first - 1)):
            later.looks.append(Look(learner.name, later.now))

    def _deliver(self, learner: Learner, visit: Visit, opener: Happening) -> None:
        """Puts the records of a visit into its round, and some of them into a later one again."""
        chance = learner.chance
        round_ = self.rounds[visit.delivered]
        shuffled = chance.random() < 0.15
        online_at = round_.now + chance.random() * (ROUND - SESSION_LENGTH_MAX)
        for happening in visit.happenings:
            at = online_at if visit.is_offline else happening.at
            at += timedelta(seconds=chance.randrange(600) if shuffled else 1)
            record = self._record(learner, happening, at)
            (round_.openers if happening is opener else round_.others).append(record)
            if chance.random() < 0.02:
                round_.others.append(record._replace(at=at + timedelta(minutes=12)))
            if chance.random() < 0.02:
                again = chance.randrange(visit.delivered, len(self.rounds))
                if again > visit.delivered:
                    copy = record._replace(at=self.rounds[again].now, partition=chance.randrange(PARTITIONS))
                    self.rounds[again].others.append(copy)

    def _record(self, learner: Learner, happening: Happening, at: datetime) -> Record:
        chance = learner.chance
        zone = ZoneInfo(learner.zone(happening.at))
        shown = happening.at if chance.random() < 0.5 else happening.at.astimezone(zone)
        envelope = {
            "specversion": "1.0",
            "id": f"{chance.getrandbits(64):016x}",
            "source": happening.type.split(".")[1].split("-")[0] + "-service",
            "type": happening.type,
            "subject": learner.name,
            "time": shown.isoformat().replace("+00:00", "Z"),
        }
        topic = happening.type.removesuffix(".v1")
        key = learner.name
        # One upstream has a client of another kind, with a partitioner of its own; one puts its own name into the key.
        partition = zlib.crc32(key.encode()) % PARTITIONS if happening.type == XP else None
        if happening.type == STREAK and zlib.crc32(key.encode()) % 10 == 0:
            key = "streak-service"
        if chance.random() < 0.04:
            headers = tuple((f"ce_{name}", value.encode()) for name, value in envelope.items())
            return Record(topic, key, json.dumps(happening.data).encode(), at, headers, partition)
        return Record(topic, key, json.dumps({**envelope, "data": happening.data}).encode(), at, (), partition)


def choose_start(chance: Random, today: datetime, days: int) -> datetime:
    """A midnight some weeks before `today`, so that some learners' clocks change in the days after it, if that can be."""
    candidates = [today - number * DAY for number in range(days + 3, days + 53)]
    lively = [day for day in candidates if any(_changes(zone, day + 3 * DAY) for zone in CLOCK_CHANGES)]
    return chance.choice(lively or candidates)


def _changes(zone: str, day: datetime) -> bool:
    there = ZoneInfo(zone)
    return day.astimezone(there).utcoffset() != (day + 3 * DAY).astimezone(there).utcoffset()
