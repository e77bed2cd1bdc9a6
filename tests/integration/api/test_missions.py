"""GET /missions: what a user sees, in which zone and language, from Redis or without it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from mission_events import SessionStarted, decode_out
from mission_events.events import OutEvent
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import Pool, open_pool
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.adapters.tokens import TokenKind, TokenSettings
from services.api.app import Parts, create_app
from services.api.read_missions import ReadMissions
from services.missions.definition import Mission
from services.operations.catalogue import CatalogueWatcher
from services.operations.issue import Issuer
from services.operations.refresh import FreshCatalogue
from services.stack.server import Addresses
from tests.support.builders import mission_data
from tests.support.events import lesson, xp
from tests.support.http import Client, Clock, Upstreams, client_of, problem
from tests.support.ledger import partition_of
from tests.support.proxy import Proxy, proxy_to

DAY_ONE = {"daily-lesson-1", "fix-mistakes-2", "daily-xp-20"}
FIELDS = {
    "assignment_id", "mission_id", "mission_type", "title", "description", "status", "starts_at", "expires_at",
    "completed_at", "claimed_at", "claimable_until", "progress", "target", "objectives", "rewards",
}  # fmt: skip


@dataclass(frozen=True)
class Networks:
    """Between the api role and its servers."""

    postgres: Proxy
    redis: Proxy


@pytest.fixture
async def networks(ledger_dsn: str, addresses: Addresses) -> AsyncIterator[Networks]:
    """Networks to cut."""
    async with proxy_to(ledger_dsn) as postgres, proxy_to(addresses.redis_url) as redis:
        yield Networks(postgres, redis)


@pytest.fixture
async def far_read(
    networks: Networks,
    ledger_dsn: str,
    addresses: Addresses,
    live_catalogue: CatalogueWatcher,
    projection: Projection,
) -> AsyncIterator[ReadMissions]:
    """The reads behind these networks, on the same projection."""
    pool = await open_pool(networks.postgres.through(ledger_dsn), size=4, application="far-api")
    far = Projection.connect(networks.redis.through(addresses.redis_url), projection._prefix, timeout_seconds=0.25)
    issuer = Issuer(Users(pool, partition_of), far, live_catalogue)
    yield ReadMissions(Users(pool, partition_of), far, issuer, FreshCatalogue(live_catalogue))
    await far.close()
    pool.terminate()


@pytest.fixture
async def far_api(parts: Parts, far_read: ReadMissions, tokens: TokenSettings, clock: Clock) -> AsyncIterator[Client]:
    """The api role behind these networks."""
    client = client_of(create_app(replace(parts, read=far_read), clock), tokens)
    yield client
    await client.http.aclose()


async def test_the_first_look_issues_the_first_days_missions(api: Client, pool: Pool, clock: Clock) -> None:
    clock.now = datetime(2026, 11, 25, 12, tzinfo=UTC)

    missions = await api.missions("ada")

    assert set(missions) == DAY_ONE
    lesson_one = missions["daily-lesson-1"]
    assert set(lesson_one) == FIELDS
    assert lesson_one["title"] == "Complete 1 lesson"
    assert (lesson_one["status"], lesson_one["progress"], lesson_one["target"]) == ("IN_PROGRESS", 0, 1)
    assert lesson_one["objectives"] == [{"id": "lessons", "progress": 0, "target": 1}]
    assert lesson_one["rewards"] == [{"kind": "gems", "amount": 10}]
    assert (lesson_one["starts_at"], lesson_one["expires_at"]) == ("2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z")
    assert lesson_one["completed_at"] is lesson_one["claimed_at"] is lesson_one["claimable_until"] is None
    payloads = await pool.fetch("select payload from outbox where key = 'ada' and topic = 'missions.mission-assigned'")
    announced = [event for row in payloads if isinstance(event := decode_out(row[0]), OutEvent)]
    assert {event.data.mission_id for event in announced} == DAY_ONE


async def test_looking_twice_or_at_once_issues_once(api: Client, pool: Pool) -> None:
    looks = await asyncio.gather(*(api.missions("ben") for _ in range(20)))
    assert all(look == looks[0] for look in looks)
    assert await pool.fetchval("select count(*) from assignment where user_id = 'ben'") == len(DAY_ONE)
    assert await pool.fetchval("select version from user_state where user_id = 'ben'") == 1
    topic = "select count(*) from outbox where key = 'ben' and topic = 'missions.mission-assigned'"
    assert await pool.fetchval(topic) == len(DAY_ONE)


async def test_progress_is_shown_and_numbers_stay_whole(api: Client, upstreams: Upstreams) -> None:
    await api.missions("cara")
    await upstreams.send("cara", lesson(), xp(15))

    shown = await api.missions("cara")

    assert (shown["daily-lesson-1"]["status"], shown["daily-xp-20"]["progress"]) == ("COMPLETED", 15)
    assert shown["daily-lesson-1"]["claimable_until"] > shown["daily-lesson-1"]["expires_at"]
    raw = (await api.get("cara", "/missions")).text
    assert '"progress":15,' in raw


async def test_the_next_day_shows_what_ended_and_what_begins(api: Client, upstreams: Upstreams, clock: Clock) -> None:
    await upstreams.send("dan", lesson())
    first = await api.missions("dan")
    clock.now += timedelta(days=1)

    response = await api.get("dan", "/missions")

    shown = response.json()["missions"]
    by_id = {mission["assignment_id"]: mission for mission in shown}
    assert by_id[first["daily-lesson-1"]["assignment_id"]]["status"] == "COMPLETED"
    assert by_id[first["daily-xp-20"]["assignment_id"]]["status"] == "EXPIRED"
    todays = [m for m in shown if m["mission_id"] == "daily-lesson-1" and m["status"] == "IN_PROGRESS"]
    assert len(todays) == 1


async def test_a_caller_that_has_the_answer_gets_304(api: Client, upstreams: Upstreams) -> None:
    first = await api.get("eve", "/missions")
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await api.get("eve", "/missions", If_None_Match=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    assert (await api.get("eve", "/missions", If_None_Match='"other"')).status_code == 200

    await upstreams.send("eve", xp(5))

    changed = await api.get("eve", "/missions", If_None_Match=etag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


async def test_a_phones_time_zone_holds_until_a_session_tells_it(
    api: Client, upstreams: Upstreams, clock: Clock
) -> None:
    clock.now = datetime(2026, 11, 25, 20, tzinfo=UTC)  # the 26th in Tokyo

    tokyo = await api.missions("fay", "?timezone=Asia/Tokyo")
    assert tokyo["daily-lesson-1"]["starts_at"] == "2026-11-25T15:00:00Z"
    assert tokyo["daily-lesson-1"]["expires_at"] == "2026-11-26T15:00:00Z"

    await upstreams.send("gus", SessionStarted(timezone="Europe/Berlin"))
    berlin = await api.missions("gus", "?timezone=Asia/Tokyo")
    assert berlin["daily-lesson-1"]["starts_at"] == "2026-11-24T23:00:00Z"


async def test_a_time_zone_told_late_makes_no_second_day(api: Client, clock: Clock) -> None:
    clock.now = datetime(2026, 11, 25, 20, tzinfo=UTC)
    in_utc = await api.missions("hal")
    told = await api.missions("hal", "?timezone=Asia/Tokyo")
    assert told == in_utc
    clock.now += timedelta(hours=5)

    lessons = [
        (m["starts_at"], m["expires_at"])
        for m in (await api.get("hal", "/missions?timezone=Asia/Tokyo")).json()["missions"]
        if m["mission_id"] == "daily-lesson-1"
    ]
    assert sorted(lessons) == [
        ("2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"),
        ("2026-11-26T00:00:00Z", "2026-11-26T15:00:00Z"),
    ]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "europe/berlin", "../../etc/passwd", "Europe/Berlin\x00"])
async def test_a_zone_that_is_none_is_refused(api: Client, zone: str) -> None:
    response = await api.http.get("/missions", params={"timezone": zone}, headers=api.headers(TokenKind.USER, "ida"))
    document = problem(response, 422, "invalid-request")
    assert document["errors"][0]["parameter"] == "timezone"


@pytest.fixture
async def german_catalogue(pool: Pool, live_catalogue: CatalogueWatcher) -> None:
    title = {"en": "A task", "de": "Eine Aufgabe", "pt-BR": "Uma tarefa"}
    mission = Mission.model_validate_json(json.dumps(mission_data(id="translated", title=title)))
    await CatalogueStore(pool).publish([mission])
    await live_catalogue.load()


@pytest.mark.usefixtures("german_catalogue")
@pytest.mark.parametrize(
    ("query", "header", "title"),
    [
        ("", "", "A task"),
        ("", "de", "Eine Aufgabe"),
        ("", "de-AT,de;q=0.9", "Eine Aufgabe"),
        ("", "fr, pt-BR;q=0.8, de;q=0.5", "Uma tarefa"),
        ("", "de;q=0.1, en;q=0.9", "A task"),
        ("", "de;q=0", "A task"),
        ("", "*, nonsense;;q=x", "A task"),
        ("?locale=de", "en", "Eine Aufgabe"),
        ("?locale=DE", "", "Eine Aufgabe"),
        ("?locale=fr", "de", "A task"),
    ],
)
async def test_titles_come_in_the_callers_language(api: Client, query: str, header: str, title: str) -> None:
    response = await api.get("jan", f"/missions{query}", Accept_Language=header)
    titles = {m["mission_id"]: m["title"] for m in response.json()["missions"]}
    assert titles["translated"] == title
    assert "Accept-Language" in response.headers["vary"]


async def test_a_locale_that_is_none_is_refused(api: Client) -> None:
    problem(await api.get("kim", "/missions?locale=not%20a%20locale"), 422, "invalid-request")


async def test_a_mission_published_a_moment_ago_is_shown(
    api: Client, upstreams: Upstreams, pool: Pool, live_catalogue: CatalogueWatcher
) -> None:
    stale = live_catalogue.current()
    mission = Mission.model_validate_json(json.dumps(mission_data(id="brand-new")))
    await CatalogueStore(pool).publish([mission])
    await live_catalogue.load()
    await upstreams.send("lou", xp(1))
    live_catalogue._catalogue = stale  # this process has not looked again since

    assert "brand-new" in await api.missions("lou")


async def test_redis_may_be_gone(far_api: Client, networks: Networks, upstreams: Upstreams) -> None:
    await upstreams.send("mia", lesson())
    before = await far_api.missions("mia")
    networks.redis.cut()
    assert await far_api.missions("mia") == before
    assert set(await far_api.missions("newcomer")) == DAY_ONE, "issuing needs no Redis either"


async def test_what_redis_has_lost_is_filled_again_by_reading(
    api: Client, upstreams: Upstreams, projection: Projection, pool: Pool
) -> None:
    await upstreams.send("nina", lesson())
    before = await api.missions("nina")
    version = (await projection.load(["nina"]))["nina"].version
    await projection.discard([("nina", version)])
    assert await projection.load(["nina"]) == {}

    assert await api.missions("nina") == before

    assert (await projection.load(["nina"]))["nina"].version == version
    assert await pool.fetchval("select version from user_state where user_id = 'nina'") == version


async def test_servers_that_hang_do_not_make_the_reader_hang(far_api: Client, networks: Networks) -> None:
    before = await far_api.missions("pia")
    networks.redis.flows.clear()
    assert await far_api.missions("pia") == before, "from the ledger"
    networks.postgres.flows.clear()
    problem(await far_api.get("pia", "/missions"), 503, "unavailable")
    networks.postgres.flows.set()
    networks.redis.flows.set()
    assert await far_api.missions("pia") == before


async def test_reads_are_answered_from_redis_while_the_ledger_is_gone(far_api: Client, networks: Networks) -> None:
    before = await far_api.missions("otto")
    networks.postgres.cut()

    assert await far_api.missions("otto") == before
    response = await far_api.get("nobody-knows", "/missions")
    problem(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    problem(await far_api.get("otto", "/rewards"), 503, "unavailable")
