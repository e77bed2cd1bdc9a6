"""Each mission of the default catalogue, lived through Kafka and HTTP: who gets it, what does not count, what completes it.

All stories are lived at once, day by day. Their past comes with the record timestamps of its days, and the scheduler, who would
find all of it long over, stands still meanwhile: missions are issued by the first event and the first look.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from mission_events import TOPICS_IN, LearningData, OutEvent, SessionStarted, decode_out
from services.adapters.catalogue_files import default_missions
from services.adapters.kafka.producer import Outgoing
from services.adapters.kafka.reader import read_from
from services.adapters.projection import Projection
from services.adapters.tokens import TokenKind
from services.missions.catalogue import is_open
from services.missions.definition import Mission as Definition
from tests.journeys.stories import Calendar, Did, Past, Story, stories
from tests.support.system import Learner, Mission, Running, until

SEASON = "boss-challenge-winter-2026"
NOW_OPEN = f"{SEASON}-{secrets.token_hex(4)}"
"""The catalogue's season under another name, open now, whatever the date is."""

DEFINITIONS = {mission.id: mission for mission in default_missions()}
NAMES = [NOW_OPEN if name == SEASON else name for name in DEFINITIONS]
TODAY, EVER = "/missions", "/missions?status=all&limit=100"
AT_ONCE = 8
"""Requests in flight: a phone each, on a machine that runs every server too."""

every_mission = pytest.mark.parametrize("name", NAMES, ids=DEFINITIONS)


@dataclass
class Lived:
    """What a learner saw of the one mission, and which missions there were at the end."""

    issued: Mission | None = None
    after_misses: Mission | None = None
    before_last: Mission | None = None
    after: Mission | None = None
    today: list[str] = field(default_factory=list)


@dataclass
class Life:
    """A story, the learner who lives it, and one with the other past, and which missions that one has."""

    name: str
    story: Story
    hero: Learner
    other: Learner
    seen: Lived = field(default_factory=Lived)
    other_missions: list[str] = field(default_factory=list)


Act = tuple[Learner, LearningData, datetime, bool]
"""(learner, what, when, whether its record comes at that time too, or now)."""


@dataclass(frozen=True)
class Stage:
    """Where the lives are lived."""

    system: Running
    calendar: Calendar
    http: httpx.AsyncClient
    projection: Projection
    turns: asyncio.Semaphore

    async def publish(self, acts: Iterable[Act]) -> None:
        """Publishes events and waits until all are applied and shown."""
        records, users = [], set()
        for learner, data, at, in_time in acts:
            users.add(learner.user)
            topic, key, value = learner.record(data, at=at)
            records.append(Outgoing(topic, key, value, timestamp_ms=int(at.timestamp() * 1000) if in_time else None))
        if records:
            await self.system.publisher.publish_all(records)
            await self.system.drained([topic.name for topic in TOPICS_IN])
            await until(lambda: self.is_shown(users), "the ledger's states in the projection")

    async def is_shown(self, users: Iterable[str]) -> bool:
        """Whether the projection has caught up with the ledger: it is written a moment later."""
        rows = await self.system.fetch("select user_id, version from user_state where user_id = any($1)", list(users))
        shown = await self.projection.load([row["user_id"] for row in rows])
        return all(row["user_id"] in shown and shown[row["user_id"]].version >= row["version"] for row in rows)

    def opens_app(self, learner: Learner, day: date | None = None) -> Act:
        """A session on a day, or now."""
        at = datetime.now(UTC) if day is None else self.calendar.noon(day)
        return learner, SessionStarted(timezone=self.calendar.zone), at, True

    async def lives_past(self, pasts: Sequence[tuple[Learner, Past]]) -> None:
        """Day after day: whoever did something opens the app and does it. The first session tells where the learner lives."""
        await self.publish(self.opens_app(learner, min(past)) for learner, past in pasts if past)
        for day in sorted({day for _, past in pasts for day in past}):
            there = [(learner, past[day], day == min(past)) for learner, past in pasts if day in past]
            sessions = [self.opens_app(learner, day) for learner, _, is_first in there if not is_first]
            at = self.calendar.noon(day)
            await self.publish(
                [*sessions, *((learner, one, at, True) for learner, events, _ in there for one in events)]
            )

    async def does(self, acts: Iterable[tuple[Life, Sequence[Did]]]) -> None:
        """Misses or steps."""
        await self.publish(
            (
                life.hero,
                one.data,
                self.calendar.noon(one.day) if one.day else datetime.now(UTC),
                one.day is None or life.story.is_over,
            )
            for life, done in acts
            for one in done
        )

    async def get(self, learner: Learner, path: str) -> list[Mission]:
        """Missions that a path shows."""
        async with self.turns:
            answer = await self.http.get(path, headers=learner.headers)
        assert answer.status_code == 200, answer.text
        missions: list[Mission] = answer.json()["missions"]
        return missions

    async def claim(self, learner: Learner, mission_id: str) -> None:
        """Claims a mission that the past completed."""
        found = newest(await self.get(learner, EVER), mission_id)
        assert found is not None
        answer = await learner.claim(found["assignment_id"])
        assert answer.status_code == 200, answer.text


def newest(missions: Iterable[Mission], mission_id: str) -> Mission | None:
    """The assignment of the newest period."""
    found = [mission for mission in missions if mission["mission_id"] == mission_id]
    return max(found, key=lambda mission: str(mission["starts_at"]), default=None)


def path(life: Life) -> str:
    """Where a mission of this life is shown: a week that is over is not in today's list, and a look at that would begin today."""
    return EVER if life.story.is_over else TODAY


async def look(stage: Stage, lives: Sequence[Life], moment: str) -> None:
    """Keeps what each hero sees of the mission at this moment."""
    for life, missions in zip(
        lives, await asyncio.gather(*(stage.get(life.hero, path(life)) for life in lives)), strict=True
    ):
        setattr(life.seen, moment, newest(missions, life.name))


async def live(stage: Stage, lives: Sequence[Life]) -> None:
    """All stories, in step."""
    others = [life for life in lives if life.story.not_for is not None]
    pasts = [(life.hero, life.story.past) for life in lives]
    await stage.lives_past([*pasts, *((life.other, life.story.not_for or {}) for life in others)])
    await asyncio.gather(*(stage.claim(life.hero, name) for life in lives for name in life.story.claims))
    today = [learner for life in lives if not life.story.is_over for learner in (life.hero, life.other)]
    await stage.publish(map(stage.opens_app, today))

    await look(stage, lives, "issued")
    await stage.does((life, life.story.misses) for life in lives)
    await look(stage, lives, "after_misses")
    await stage.does((life, life.story.steps[:-1]) for life in lives)
    await look(stage, lives, "before_last")
    await stage.does((life, life.story.steps[-1:]) for life in lives)

    for life, missions in zip(
        lives, await asyncio.gather(*(stage.get(life.hero, TODAY) for life in lives)), strict=True
    ):
        life.seen.after = {m["assignment_id"]: m for m in missions}.get((life.seen.issued or {}).get("assignment_id"))
        life.seen.today = [mission["mission_id"] for mission in missions]
    for life, missions in zip(
        lives, await asyncio.gather(*(stage.get(life.other, path(life)) for life in lives)), strict=True
    ):
        life.other_missions = [m["mission_id"] for m in missions if life.story.is_over or m["status"] == "IN_PROGRESS"]


@pytest.fixture(scope="module")
async def season(system: Running) -> AsyncIterator[None]:
    """The season, published by an operator, and ended after the tests."""
    times = {"opens_at": datetime.now(UTC) - timedelta(days=3), "closes_at": datetime.now(UTC) + timedelta(days=30)}
    renamed = {"id": NOW_OPEN, **{name: at.isoformat() for name, at in times.items()}}
    definition = {**as_data(DEFINITIONS[SEASON]), **renamed}
    headers = {"Authorization": f"Bearer {system.token(TokenKind.ADMIN, 'operator')}"}
    async with httpx.AsyncClient(base_url=system.api_url, headers=headers, timeout=30) as http:
        for path, body in (("", definition), (f"/{NOW_OPEN}/publish", None)):
            answer = await http.post(f"/admin/missions{path}", json=body)
            assert answer.is_success, answer.text
        yield
        assert (await http.post(f"/admin/missions/{NOW_OPEN}/end")).is_success


@pytest.fixture(scope="module")
async def lives(system: Running, season: None) -> AsyncIterator[dict[str, Life]]:
    """Every story, lived."""
    calendar = Calendar.at(datetime.now(UTC))
    told = {
        name: Life(name, story, system.learner(f"hero-of-{name}"), system.learner(f"other-of-{name}"))
        for name, story in stories(calendar, NOW_OPEN).items()
    }
    projection = Projection.connect(system.servers.addresses.redis_url)
    await asyncio.to_thread(system.stack.roles["scheduler"].stop)
    try:
        async with httpx.AsyncClient(base_url=system.api_url, timeout=60) as http:
            await live(Stage(system, calendar, http, projection, asyncio.Semaphore(AT_ONCE)), list(told.values()))
        yield told
    finally:
        await projection.close()
        await asyncio.to_thread(system.stack.restart_role, "scheduler")


def as_data(definition: Definition) -> dict[str, Any]:
    """A mission as an operator would send it."""
    return definition.model_dump(mode="json", exclude={"version"}, by_alias=True, exclude_none=True)


def progress(mission: Mission | None) -> tuple[int, ...] | None:
    """Progress of each objective."""
    return None if mission is None else tuple(objective["progress"] for objective in mission["objectives"])


def targets(mission: Mission | None) -> tuple[int, ...] | None:
    """Target of each objective."""
    return None if mission is None else tuple(objective["target"] for objective in mission["objectives"])


def test_every_mission_of_the_catalogue_has_a_story() -> None:
    assert set(stories(Calendar.at(datetime.now(UTC)), SEASON)) == set(DEFINITIONS)


@every_mission
async def test_it_is_issued_to_whom_it_is_for(lives: dict[str, Life], name: str) -> None:
    life = lives[name]
    story, seen = life.story, life.seen.issued
    assert seen is not None, f"{life.hero.user} was not given it"
    assert seen["status"] == ("EXPIRED" if story.is_over else "IN_PROGRESS")
    assert progress(seen) == (story.already or (0,) * len(story.reached))
    assert targets(seen) == tuple(objective.target for objective in definition_of(name).objectives)
    if story.not_for is not None:
        assert life.other_missions, f"{life.other.user} has missions"
        assert name not in life.other_missions, f"{life.other.user} was given it too"


@every_mission
async def test_near_misses_do_not_count(lives: dict[str, Life], name: str) -> None:
    seen = lives[name].seen
    assert lives[name].story.misses
    assert seen.after_misses == seen.issued


@every_mission
async def test_it_is_completed_by_the_last_event_and_by_none_before(lives: dict[str, Life], name: str) -> None:
    story, seen = lives[name].story, lives[name].seen
    assert seen.before_last is not None
    assert seen.before_last["status"] == ("EXPIRED" if story.is_over else "IN_PROGRESS")
    assert progress(seen.before_last) == story.reached

    assert seen.after is not None
    assert seen.after["status"] == "COMPLETED"
    assert progress(seen.after) == targets(seen.after)
    assert seen.after["assignment_id"] == seen.before_last["assignment_id"]


@every_mission
async def test_it_pays_what_it_promises(lives: dict[str, Life], name: str) -> None:
    life = lives[name]
    assert life.seen.after is not None
    assignment_id = life.seen.after["assignment_id"]

    answer = await life.hero.claim(assignment_id)

    assert answer.status_code == 200, answer.text
    grant = answer.json()
    assert (grant["mission_id"], grant["assignment_id"]) == (name, assignment_id)
    assert grant["rewards"] == life.seen.after["rewards"] == as_data(definition_of(name))["rewards"]


async def test_each_completion_and_grant_is_published_once(system: Running, lives: dict[str, Life]) -> None:
    wanted = Counter(life.seen.after["assignment_id"] for life in lives.values() if life.seen.after is not None)

    async def published(topic: str) -> Counter[str]:
        found: Counter[str] = Counter()
        async for _, record in read_from(system.servers.addresses.kafka_bootstrap, topic):
            event = decode_out(record.value, record.headers)
            if isinstance(event, OutEvent) and event.data.assignment_id in wanted:
                found[event.data.assignment_id] += 1
        return found

    for life in lives.values():
        assert life.seen.after is not None
        assert (await life.hero.claim(life.seen.after["assignment_id"])).status_code == 200
    for topic in ("missions.mission-completed", "missions.reward-granted"):

        async def all_told(topic: str = topic) -> bool:
            return set(await published(topic)) == set(wanted)

        await until(all_told, f"every story on {topic}")
        assert await published(topic) == wanted


async def test_the_season_of_the_catalogue_is_issued_while_it_is_open_and_not_before_or_after(
    lives: dict[str, Life],
) -> None:
    open_now = is_open(DEFINITIONS[SEASON], datetime.now(UTC))
    assert (SEASON in lives[NOW_OPEN].seen.today) == open_now
    assert NOW_OPEN in lives[NOW_OPEN].seen.today


def definition_of(name: str) -> Definition:
    """The mission of the catalogue that a story is about."""
    return DEFINITIONS[SEASON if name == NOW_OPEN else name]
