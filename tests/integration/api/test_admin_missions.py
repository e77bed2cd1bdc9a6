"""A mission's life through the admin calls: draft, published, paused, ended; and what learners see of it."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.operations.catalogue import POLL_SECONDS, CatalogueWatcher
from services.operations.issue import Issuer
from tests.support.admin import Operator, draft_of
from tests.support.builders import item, lesson, xp
from tests.support.builders import objective as objective_data
from tests.support.http import Client, Clock, Json, Upstreams, problem
from tests.support.ledger import partition_of
from tests.support.system import until

LIVE_SECONDS = 5
"""A change is in every process within this time."""


@pytest.fixture
def operator(api: Client) -> Operator:
    return Operator(api)


@pytest.fixture
def live(live_catalogue: CatalogueWatcher) -> CatalogueWatcher:
    """The catalogue of the process that answers; tests load it where they do not watch it."""
    return live_catalogue


async def test_a_draft_is_seen_by_operators_only_until_it_is_published(
    operator: Operator, api: Client, live: CatalogueWatcher
) -> None:
    answer = await operator.create(draft_of("extra"))
    assert answer.status_code == 201
    assert answer.headers["location"] == "/admin/missions/extra"
    created = answer.json()
    assert (created["state"], created["versions"]) == ("draft", [])
    assert created["draft"]["definition"]["title"] == {"en": "Mission extra"}
    await live.load()
    assert "extra" not in await api.missions("ada")

    published = (await operator.act("extra", "publish")).json()
    assert (published["state"], published["draft"]) == ("published", None)
    assert [(v["version"], v["state"]) for v in published["versions"]] == [(1, "published")]
    await live.load()
    assert (await api.missions("ben"))["extra"]["title"] == "Mission extra"


async def test_making_the_same_draft_again_changes_nothing_and_another_one_is_refused(operator: Operator) -> None:
    await operator.create(draft_of("extra"))
    again = await operator.create(draft_of("extra"))
    assert again.status_code == 200
    assert len(again.json()["changes"]) == 1
    other = await operator.create(draft_of("extra", title={"en": "Another"}))
    assert "PUT /admin/missions/extra/draft" in problem(other, 409, "mission-state")["detail"]


async def test_publishing_twice_gives_the_same_version(operator: Operator, live: CatalogueWatcher) -> None:
    await operator.published(draft_of("extra"))
    revision = (await operator.shown("extra"))["changes"]
    again = await operator.act("extra", "publish")
    assert again.status_code == 200
    assert [v["version"] for v in again.json()["versions"]] == [1]
    assert again.json()["changes"] == revision

    same = await operator.call("PUT", "/extra/draft", draft_of("extra"))
    assert same.json()["draft"] is not None
    unchanged = await operator.act("extra", "publish")
    assert [v["version"] for v in unchanged.json()["versions"]] == [1]
    assert unchanged.json()["draft"] is None


async def test_publishing_at_once_from_many_places_gives_one_version(operator: Operator, pool: Pool) -> None:
    await operator.create(draft_of("extra"))
    before = await CatalogueStore(pool).revision()
    answers = await asyncio.gather(*(operator.act("extra", "publish") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert [v["version"] for v in (await operator.shown("extra"))["versions"]] == [1]
    assert await CatalogueStore(pool).revision() == before + 1


async def test_a_change_is_a_new_version_and_assignments_keep_theirs(
    operator: Operator, api: Client, live: CatalogueWatcher, upstreams: Upstreams
) -> None:
    await operator.published(draft_of("extra", objectives=[objective_data(target=2)]))
    await live.load()
    await upstreams.send("ada", lesson())
    assert (await api.missions("ada"))["extra"]["target"] == 2

    changed = await operator.call("PUT", "/extra/draft", draft_of("extra", objectives=[objective_data(target=9)]))
    assert changed.status_code == 200
    assert [v["version"] for v in changed.json()["versions"]] == [1], "a draft is not published"
    published = (await operator.act("extra", "publish")).json()
    assert [(v["version"], v["state"]) for v in published["versions"]] == [(2, "published"), (1, "replaced")]
    assert published["versions"][1]["definition"]["objectives"][0]["target"] == 2

    await live.load()
    await upstreams.send("ada", lesson())
    mine = (await api.missions("ada"))["extra"]
    assert (mine["target"], mine["status"]) == (2, "COMPLETED")
    assert (await api.missions("ben"))["extra"]["target"] == 9


@pytest.mark.parametrize("action", ["pause", "end"])
async def test_a_mission_that_is_held_is_issued_to_nobody_and_what_was_issued_goes_on(
    operator: Operator, api: Client, live: CatalogueWatcher, upstreams: Upstreams, action: str
) -> None:
    await operator.published(draft_of("extra", objectives=[objective_data({"sum": "quantity"}, 2, event="item-used")]))
    await live.load()
    assert (await api.missions("ada"))["extra"]["progress"] == 0

    held = (await operator.act("extra", action)).json()
    assert held["state"] == {"pause": "paused", "end": "ended"}[action]
    await live.load()
    assert "extra" not in await api.missions("ben")
    await upstreams.send("ada", item(2))
    mine = (await api.missions("ada"))["extra"]
    assert mine["status"] == "COMPLETED"


async def test_a_resumed_mission_is_issued_again(operator: Operator, api: Client, live: CatalogueWatcher) -> None:
    await operator.published(draft_of("extra", period="once"))
    await operator.act("extra", "pause")
    await live.load()
    assert "extra" not in await api.missions("ada")
    await operator.act("extra", "resume")
    await live.load()
    assert "extra" in await api.missions("ada")


async def test_a_pause_outlives_a_new_version_and_an_end_does_not(operator: Operator) -> None:
    await operator.published(draft_of("extra"))
    await operator.act("extra", "pause")
    await operator.call("PUT", "/extra/draft", draft_of("extra", title={"en": "Two"}))
    assert (await operator.act("extra", "publish")).json()["state"] == "paused"
    await operator.act("extra", "end")
    await operator.call("PUT", "/extra/draft", draft_of("extra", title={"en": "Two"}))
    begun_again = (await operator.act("extra", "publish")).json()
    assert [(v["version"], v["state"]) for v in begun_again["versions"]] == [
        (3, "published"),
        (2, "replaced"),
        (1, "replaced"),
    ]


async def test_a_season_is_scheduled_opens_and_closes(
    operator: Operator, api: Client, live: CatalogueWatcher, clock: Clock, upstreams: Upstreams
) -> None:
    opens_at, closes_at = clock.now + timedelta(days=2), clock.now + timedelta(days=5)
    created = await operator.create(draft_of("season", period="season"))
    assert created.status_code == 201, created.text
    too_early = await operator.act("season", "publish")
    assert problem(too_early, 422, "invalid-request")["errors"][0]["pointer"] == "/opens_at"
    scheduled = await operator.act(
        "season", "schedule", "the spring", opens_at=opens_at.isoformat(), closes_at=closes_at.isoformat()
    )
    assert scheduled.status_code == 200, scheduled.text
    assert (await operator.act("season", "publish")).status_code == 200
    await live.load()

    assert "season" not in await api.missions("ada")
    [listed] = [m for m in await _list(operator, type="daily") if m["mission_id"] == "season"]
    assert (listed["state"], listed["is_issued"]) == ("published", False)
    clock.now = opens_at
    mine = (await api.missions("ada"))["season"]
    assert mine["expires_at"].startswith(closes_at.isoformat()[:19])
    clock.now = closes_at
    assert "season" not in await api.missions("ben")


async def test_who_did_what_when_and_why_is_kept(operator: Operator, api: Client, pool: Pool) -> None:
    await operator.create(draft_of("extra"), reason="a first try")
    await operator.call("PUT", "/extra/draft", draft_of("extra", title={"en": "Better"}))
    await operator.act("extra", "publish", "launch")
    other = Operator(api, "otto")
    await other.act("extra", "pause", "too easy")
    await other.act("extra", "pause", "twice is once")
    await other.act("extra", "resume")
    await other.act("extra", "end", "over")

    changes = (await operator.shown("extra"))["changes"]
    assert [
        (c["action"], c["version"], c["from_state"], c["to_state"], c["changed_by"], c["reason"]) for c in changes[::-1]
    ] == [
        ("create_draft", None, None, "draft", "olga", "a first try"),
        ("change_draft", None, "draft", "draft", "olga", None),
        ("publish", 1, "draft", "published", "olga", "launch"),
        ("pause", 1, "published", "paused", "otto", "too easy"),
        ("resume", 1, "paused", "published", "otto", None),
        ("end", 1, "published", "ended", "otto", "over"),
    ]
    assert changes == sorted(changes, key=lambda change: change["changed_at"], reverse=True)
    with pytest.raises(asyncpg.RaiseError, match="only added to"):
        await pool.execute("delete from mission_change")


async def test_the_ledger_itself_refuses_to_change_a_published_version(pool: Pool) -> None:
    for statement in (
        "update mission_version set definition = '{}' where mission_id = 'daily-xp-20'",
        "delete from mission_version where mission_id = 'daily-xp-20'",
    ):
        with pytest.raises(asyncpg.RaiseError, match="version 1 of mission daily-xp-20 is published and never changes"):
            await pool.execute(statement)


async def test_a_draft_can_be_discarded(operator: Operator) -> None:
    await operator.create(draft_of("extra"))
    assert (await operator.call("DELETE", "/extra/draft")).status_code == 204
    problem(await operator.call("GET", "/extra"), 404, "mission-not-found")
    await operator.published(draft_of("extra"))
    await operator.call("PUT", "/extra/draft", draft_of("extra", title={"en": "Two"}))
    assert (await operator.call("DELETE", "/extra/draft")).status_code == 204
    shown = await operator.shown("extra")
    assert (shown["state"], shown["draft"]) == ("published", None)
    assert shown["changes"][0]["action"] == "discard_draft"


async def test_the_list_pages_through_everything_and_filters(operator: Operator) -> None:
    await operator.create(draft_of("a-draft"))
    await operator.published(draft_of("z-paused"))
    await operator.act("z-paused", "pause")
    everything = await _list(operator)
    ids = [mission["mission_id"] for mission in everything]
    assert ids == sorted(ids)
    assert {"a-draft", "z-paused", "daily-lesson-1"} <= set(ids)

    paged: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await operator.call("GET", "", limit="7", **cursor)
        page = answer.json()
        paged += [mission["mission_id"] for mission in page["missions"]]
        if "next_cursor" not in page:
            assert "link" not in answer.headers
            break
        assert len(page["missions"]) == 7
        assert 'rel="next"' in answer.headers["link"]
        cursor = {"cursor": page["next_cursor"]}
    assert paged == ids

    assert [m["mission_id"] for m in await _list(operator, state="draft")] == ["a-draft"]
    assert [m["mission_id"] for m in await _list(operator, state="paused")] == ["z-paused"]
    assert {m["type"] for m in await _list(operator, type="streak")} == {"streak"}
    problem(await operator.call("GET", "", cursor="a b"), 422, "invalid-request")


async def test_validating_writes_nothing(operator: Operator) -> None:
    answer = await operator.call("POST", "/validate", draft_of("extra"))
    assert (answer.status_code, answer.json()["mission_id"]) == (200, "extra")
    problem(await operator.call("GET", "/extra"), 404, "mission-not-found")


async def test_every_running_process_takes_a_change_over_without_a_restart(operator: Operator, pool: Pool) -> None:
    assert POLL_SECONDS * 2 < LIVE_SECONDS, "one look may fail"
    watchers = [CatalogueWatcher(CatalogueStore(pool)) for _ in range(2)]
    for watcher in watchers:
        await watcher.load()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watcher.watch()) for watcher in watchers]
        await operator.published(draft_of("extra"))

        async def all_issue(expected: bool) -> bool:
            return all(("extra" in {c.mission.id for c in w.current().daily.missions}) is expected for w in watchers)

        await until(lambda: all_issue(True), "both processes to know the mission")
        await operator.act("extra", "pause")
        await until(lambda: all_issue(False), "both processes to know the pause")
        assert all(watcher.current().find("extra", 1) for watcher in watchers), "its assignments go on"
        for task in tasks:
            task.cancel()


async def test_the_processor_loads_the_catalogue_when_it_meets_a_version_that_it_lacks(
    operator: Operator, api: Client, projection: Projection, pool: Pool, upstreams: Upstreams, live: CatalogueWatcher
) -> None:
    """`upstreams` is the processor's use case; here its catalogue is older than that of the process which issued the mission."""
    ahead = CatalogueWatcher(CatalogueStore(pool))
    await operator.published(draft_of("extra", objectives=[objective_data({"sum": "amount"}, 10, event="xp-earned")]))
    await ahead.load()
    assert ahead.current().revision > live.current().revision
    await Issuer(Users(pool, partition_of), projection, ahead).issue_for("ada", upstreams.clock.now)
    await upstreams.send("ada", xp(10))
    assert live.current().revision == ahead.current().revision
    assert (await api.missions("ada"))["extra"]["status"] == "COMPLETED"


async def _list(operator: Operator, **query: str) -> list[Json]:
    answer = await operator.call("GET", "", limit="100", **query)
    assert answer.status_code == 200, answer.text
    missions: list[Json] = answer.json()["missions"]
    return missions
