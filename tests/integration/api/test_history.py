"""What a user had and got: GET /missions?status=all, /rewards and /streak, page by page."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.adapters.ledger.connection import Pool
from services.adapters.tokens import TokenKind
from tests.support.events import lesson, streak, xp
from tests.support.http import Client, Clock, Upstreams, problem


async def pages(client: Client, user: str, path: str, member: str) -> list[list[Any]]:
    """All pages, by following the Link headers."""
    found = []
    url: str | None = path
    while url is not None:
        response = await client.get(user, url)
        assert response.status_code == 200, response.text
        found.append(response.json()[member])
        following = response.links.get("next")
        url = following["url"] if following else None
        assert (response.json()["next_cursor"] is None) == (url is None)
    return found


async def lives_three_days(upstreams: Upstreams, clock: Clock, user: str) -> None:
    clock.now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for _ in range(3):
        await upstreams.send(user, lesson(), xp(7))
        clock.now += timedelta(days=1)


async def test_the_past_is_paged_newest_first(api: Client, upstreams: Upstreams, clock: Clock, pool: Pool) -> None:
    await lives_three_days(upstreams, clock, "ada")

    found = await pages(api, "ada", "/missions?status=all&limit=4", "missions")

    everything = [mission for page in found for mission in page]
    assert all(len(page) == 4 for page in found[:-1])
    assert len(everything) == await pool.fetchval("select count(*) from assignment where user_id = 'ada'")
    assert len({mission["assignment_id"] for mission in everything}) == len(everything)
    starts = [mission["starts_at"] for mission in everything]
    assert starts == sorted(starts, reverse=True)
    lessons = [m for m in everything if m["mission_id"] == "daily-lesson-1"]
    assert [m["status"] for m in lessons] == ["COMPLETED"] * 3
    experience = [(m["status"], m["progress"]) for m in everything if m["mission_id"] == "daily-xp-20"]
    assert experience == [("EXPIRED", 7)] * 3
    assert found == await pages(api, "ada", "/missions?status=all&limit=4", "missions")


async def test_a_page_that_is_the_last_says_so(api: Client, upstreams: Upstreams, clock: Clock) -> None:
    await upstreams.send("ben", xp(1))
    count = len((await api.get("ben", "/missions?status=all")).json()["missions"])
    exactly = await api.get("ben", f"/missions?status=all&limit={count}")
    assert exactly.json()["next_cursor"] is None
    assert "link" not in exactly.headers
    assert (await api.get("ben", "/missions?status=all", If_None_Match=exactly.headers["etag"])).status_code == 304
    nobody = await api.get("nobody", "/missions?status=all")
    assert nobody.json() == {"missions": [], "next_cursor": None}


@pytest.mark.parametrize("path", ["/missions?status=all&", "/rewards?"])
@pytest.mark.parametrize("cursor", ["nonsense", "é", "bnVsbA", "WyJhIiwiYiJd", "WyIyMDI2LTExLTI1IiwgIngiXQ", "x" * 500])
async def test_a_cursor_that_we_did_not_make_is_refused(api: Client, path: str, cursor: str) -> None:
    response = await api.http.get(f"{path}cursor={cursor}", headers=api.headers(TokenKind.USER, "cara"))
    document = problem(response, 422, "invalid-request")
    assert document["errors"][0]["parameter"] == "cursor"


async def test_a_cursor_of_missions_is_none_of_rewards(api: Client, upstreams: Upstreams, clock: Clock) -> None:
    await lives_three_days(upstreams, clock, "dan")
    cursor = (await api.get("dan", "/missions?status=all&limit=1")).json()["next_cursor"]
    problem(await api.get("dan", f"/rewards?cursor={cursor}"), 422, "invalid-request")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "status=some"])
async def test_a_wrong_parameter_is_named(api: Client, query: str) -> None:
    document = problem(await api.get("eve", f"/missions?{query}"), 422, "invalid-request")
    assert document["errors"][0]["parameter"] == query.partition("=")[0]


async def test_grants_are_listed_with_totals(api: Client, claims: Client, upstreams: Upstreams, clock: Clock) -> None:
    clock.now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for _ in range(2):
        await upstreams.send("fay", lesson(), xp(20))
        for mission in (await api.get("fay", "/missions")).json()["missions"]:
            if mission["status"] == "COMPLETED":
                assert (await claims.claim("fay", mission["assignment_id"])).status_code == 200
        clock.now += timedelta(days=1)

    found = await pages(api, "fay", "/rewards?limit=3", "grants")

    assert [len(page) for page in found] == [3, 1]
    grants = [grant for page in found for grant in page]
    assert {grant["mission_id"] for grant in grants} == {"daily-lesson-1", "daily-xp-20"}
    assert [g["granted_at"] for g in grants] == sorted((g["granted_at"] for g in grants), reverse=True)
    totals = (await api.get("fay", "/rewards?limit=1")).json()["totals"]
    assert totals == [
        {"kind": "badge", "badge_id": "first-sparks", "amount": 2},
        {"kind": "gems", "amount": 20},
        {"kind": "xp", "amount": 20},
    ]
    nothing = (await api.get("gus", "/rewards")).json()
    assert (nothing["grants"], nothing["totals"], nothing["next_cursor"]) == ([], [], None)


async def test_the_streak_is_what_the_streak_service_told(api: Client, upstreams: Upstreams) -> None:
    assert (await api.get("hal", "/streak")).json() == {"days": 0, "day": None, "longest": 0, "freezes_used": 0}
    await upstreams.send("hal", streak(7, "2026-11-25"))
    assert (await api.get("hal", "/streak")).json() == {"days": 7, "day": "2026-11-25", "longest": 7, "freezes_used": 0}
