"""What the admin calls refuse: each with the place, the reason and the way out, and without a trace in the ledger."""

from datetime import timedelta
from typing import Any

import pytest

from services.adapters.ledger.connection import Pool
from services.adapters.tokens import TokenKind
from tests.support.admin import Operator, draft_of
from tests.support.builders import objective as objective_data
from tests.support.http import Client, Clock, problem


@pytest.fixture
def operator(api: Client) -> Operator:
    return Operator(api)


LESSONS = "learning.lesson-completed.v1"

INVALID: dict[str, tuple[Any, str, str]] = {
    "no object": ([], "", "must be a JSON object"),
    "no title": ({**draft_of("x"), "title": {}}, "/title", "at least 1 item"),
    "an unknown key": ({**draft_of("x"), "rewrads": []}, "/rewrads", "Did you mean rewards?"),
    "an unknown type": (draft_of("x", type="dayly"), "/type", "Did you mean daily?"),
    "an unknown field": (
        draft_of("x", objectives=[objective_data(event="xp-earned", where={"xp_sorce": "lesson"})]),
        "/objectives/0/where/xp_sorce",
        "Did you mean xp_source?",
    ),
    "an unknown operator": (
        draft_of("x", objectives=[objective_data(where={"hearts_lost": {"less": 1}})]),
        "/objectives/0/where/hearts_lost/less",
        "no such key here",
    ),
    "an unknown event": (
        draft_of("x", objectives=[objective_data(event="lesson-complete")]),
        "/objectives/0/event",
        f"Did you mean {LESSONS}?",
    ),
    "a history fact of another event": (
        draft_of("x", objectives=[objective_data(where={"history.open_mistake": True})]),
        "/objectives/0/where/history.open_mistake",
        "no such field here",
    ),
    "a negative reward": (
        draft_of("x", rewards=[{"kind": "gems", "amount": -10}]),
        "/rewards/0/amount",
        "greater than or equal to 1",
    ),
    "no reward": (draft_of("x", rewards=[]), "/rewards", "at least 1 item"),
    "a version of its own": (draft_of("x", version=7), "/version", "counted when a mission is published"),
    "a season that closes before it opens": (
        draft_of("x", period="season", opens_at="2027-02-01T00:00:00Z", closes_at="2027-01-01T00:00:00Z"),
        "/closes_at",
        "must open before it closes",
    ),
    "half a window": (
        draft_of("x", period="season", opens_at="2027-02-01T00:00:00Z"),
        "/closes_at",
        "a season needs opens_at and closes_at",
    ),
    "a window of a daily mission": (
        draft_of("x", opens_at="2027-02-01T00:00:00Z", closes_at="2027-03-01T00:00:00Z"),
        "/opens_at",
        "only a season has it",
    ),
    "more objectives than there are": (
        draft_of("x", require={"at_least": 2}),
        "/require/at_least",
        "2 of 1 objectives",
    ),
    "a required mission that is not there": (
        draft_of("x", requires=["study-4-days"]),
        "/requires/0",
        "Did you mean study-3-days?",
    ),
    "a NUL character": (draft_of("x", title={"en": "a\0b"}), "/title/en", "NUL"),
}

IMPOSSIBLE: dict[str, tuple[Any, str, str]] = {
    "more days than the week has": (
        draft_of("x", period="weekly", objectives=[objective_data("consecutive_days", 8)]),
        "/objectives/0/target",
        "the weekly period has 7 days",
    ),
    "more values than the field has": (
        draft_of("x", objectives=[objective_data({"distinct": "difficulty"}, 4, event="question-answered")]),
        "/objectives/0/target",
        "difficulty has 3 values",
    ),
    "a value that never occurs": (
        draft_of("x", objectives=[objective_data(where={"hearts_lost": {"lt": 0}})]),
        "/objectives/0/where/hearts_lost/lt",
        "can never hold",
    ),
    "bounds that leave nothing": (
        draft_of("x", objectives=[objective_data(where={"duration_seconds": {"gt": 60, "lt": 30}})]),
        "/objectives/0/where/duration_seconds",
        "can never hold: no value meets all of gt 60, lt 30",
    ),
    "an audience of nobody": (
        draft_of("x", audience={"days_active": {"gt": 3, "lt": 4}}),
        "/audience/days_active",
        "can never hold",
    ),
    "every value excluded": (
        draft_of(
            "x",
            objectives=[
                objective_data(event="xp-earned", where={"xp_source": {"in": ["lesson"], "not_in": ["lesson"]}})
            ],
        ),
        "/objectives/0/where/xp_source",
        "can never hold",
    ),
}


@pytest.mark.parametrize("name", [*INVALID, *IMPOSSIBLE])
async def test_a_definition_with_a_mistake_is_refused_with_its_place_and_reason(
    operator: Operator, pool: Pool, name: str
) -> None:
    definition, pointer, reason = {**INVALID, **IMPOSSIBLE}[name]
    for path in ("", "/validate"):
        document = problem(await operator.call("POST", path, definition), 422, "invalid-request")
        found = {error["pointer"]: error["detail"] for error in document["errors"]}
        assert reason in found[pointer], found
    assert await pool.fetchval("select count(*) from mission_draft") == 0
    assert await pool.fetchval("select count(*) from mission_change where changed_by = 'olga'") == 0


async def test_every_mistake_is_listed_at_once(operator: Operator) -> None:
    broken = draft_of("x", rewards=[{"kind": "gems", "amount": 0}], type="dayly", requires=["nobody"], perod="daily")
    document = problem(await operator.create(broken), 422, "invalid-request")
    assert {error["pointer"] for error in document["errors"]} == {"/rewards/0/amount", "/type", "/perod"}
    assert "3 problems" in document["detail"]


async def test_missions_that_require_each_other_are_refused(operator: Operator) -> None:
    await operator.published(draft_of("first"))
    await operator.published(draft_of("second", requires=["first"]))
    circle = await operator.call("PUT", "/first/draft", draft_of("first", requires=["second"]))
    detail = problem(circle, 422, "invalid-request")["errors"][0]["detail"]
    assert "second itself requires first" in detail


async def test_a_mission_is_published_after_those_that_it_requires(operator: Operator) -> None:
    await operator.create(draft_of("first"))
    assert (await operator.create(draft_of("second", requires=["first"]))).status_code == 201
    early = problem(await operator.act("second", "publish"), 422, "invalid-request")
    assert early["errors"][0]["pointer"] == "/requires/0"
    assert (await operator.act("first", "publish")).status_code == 200
    assert (await operator.act("second", "publish")).status_code == 200


async def test_a_published_version_is_not_edited(operator: Operator) -> None:
    before = draft_of("extra")
    await operator.published(before)
    changed = draft_of("extra", title={"en": "Changed"})
    for answer in (
        await operator.create(changed),
        await operator.call("PUT", "/extra/versions/1", changed),
        await operator.act("extra", "schedule", opens_at="2027-01-01T00:00:00Z", closes_at="2027-02-01T00:00:00Z"),
    ):
        assert "PUT /admin/missions/extra/draft" in problem(answer, 409, "version-published")["detail"]
    problem(await operator.call("PUT", "/extra/versions/2", changed), 404, "mission-not-found")
    [version] = (await operator.shown("extra"))["versions"]
    assert version["definition"]["title"] == before["title"]


async def test_a_season_that_is_over_is_not_published(operator: Operator, clock: Clock) -> None:
    opens_at, closes_at = clock.now + timedelta(days=1), clock.now + timedelta(days=2)
    window = {"opens_at": opens_at.isoformat(), "closes_at": closes_at.isoformat()}
    await operator.create(draft_of("season", period="season", **window))
    clock.now = closes_at
    document = problem(await operator.act("season", "publish"), 422, "invalid-request")
    assert document["errors"] == [
        {
            "pointer": "/closes_at",
            "detail": "is in the past, so nobody could ever complete this season; schedule it for later",
        }
    ]


async def test_a_schedule_that_closes_before_it_opens_or_is_of_no_season_is_refused(operator: Operator) -> None:
    await operator.create(draft_of("season", period="season"))
    backwards = {"opens_at": "2027-02-01T00:00:00Z", "closes_at": "2027-01-01T00:00:00Z"}
    document = problem(await operator.act("season", "schedule", **backwards), 422, "invalid-request")
    assert document["errors"][0]["pointer"] == "/closes_at"
    half = problem(await operator.act("season", "schedule", opens_at="2027-02-01T00:00:00Z"), 422, "invalid-request")
    assert half["errors"][0]["pointer"] == "/closes_at"
    await operator.create(draft_of("daily"))
    forwards = {"opens_at": "2027-01-01T00:00:00Z", "closes_at": "2027-02-01T00:00:00Z"}
    document = problem(await operator.act("daily", "schedule", **forwards), 422, "invalid-request")
    assert {error["pointer"] for error in document["errors"]} == {"/opens_at", "/closes_at"}


@pytest.mark.parametrize("action", ["pause", "resume", "end"])
async def test_a_draft_can_not_be_paused_resumed_or_ended(operator: Operator, action: str) -> None:
    await operator.create(draft_of("extra"))
    assert "only a draft" in problem(await operator.act("extra", action), 409, "mission-state")["detail"]


@pytest.mark.parametrize("action", ["pause", "resume", "publish"])
async def test_what_has_ended_begins_again_only_with_a_new_version(operator: Operator, action: str) -> None:
    await operator.published(draft_of("extra"))
    await operator.act("extra", "end")
    document = problem(await operator.act("extra", action), 409, "mission-state")
    assert "draft" in document["detail"]


async def test_a_draft_keeps_the_id_of_its_mission(operator: Operator) -> None:
    await operator.create(draft_of("extra"))
    document = problem(await operator.call("PUT", "/extra/draft", draft_of("other")), 422, "invalid-request")
    assert document["errors"][0]["pointer"] == "/id"


@pytest.mark.parametrize("mission_id", ["nobody", "%00", "a%20b", "%F0%9F%A6%89"])
async def test_a_mission_that_is_not_there_is_404_everywhere(operator: Operator, mission_id: str) -> None:
    body = draft_of("nobody")
    window = {"opens_at": "2027-01-01T00:00:00Z", "closes_at": "2027-02-01T00:00:00Z"}
    for method, path, sent in (
        ("GET", "", None),
        ("PUT", "/draft", body),
        ("DELETE", "/draft", None),
        ("POST", "/schedule", window),
        ("POST", "/publish", None),
        ("POST", "/pause", None),
        ("PUT", "/versions/1", body),
    ):
        problem(await operator.call(method, f"/{mission_id}{path}", sent), 404, "mission-not-found")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[" * 60_000, b'{"id": "\\ud800"}', b'{"id": NaN}'],
    ids=["empty", "cut", "no utf-8", "deep", "half a surrogate pair", "nan"],
)
async def test_a_body_that_is_no_json_is_400(api: Client, body: bytes) -> None:
    headers = api.headers(TokenKind.ADMIN, Content_Type="application/json")
    answer = await api.http.post("/admin/missions", content=body, headers=headers)
    problem(answer, 400, "invalid-json")


async def test_a_reason_has_a_length_and_no_other_keys_are_taken(operator: Operator) -> None:
    await operator.published(draft_of("extra"))
    for sent in ({"reason": "x" * 501}, {"because": "typo"}, {"reason": "a\0b"}):
        problem(await operator.call("POST", "/extra/pause", sent), 422, "invalid-request")
    problem(await operator.call("DELETE", "/extra/draft", None, reason="a\0b"), 422, "invalid-request")
    assert (await operator.shown("extra"))["state"] == "published"
