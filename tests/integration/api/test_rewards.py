"""What claims and XP add up to: GET /rewards shows the profile's growth, and XP from rewards moves no mission."""

from datetime import timedelta

from services.adapters.ledger.connection import Pool
from tests.support.events import item, lesson, streak, xp
from tests.support.http import Client, Clock, Json, Upstreams

NOTHING: Json = {
    "xp": {"total": 0, "earned": 0, "granted": 0},
    "level": {"level": 1, "progress": 0, "target": 50},
    "gems": 0,
    "items": [],
    "badges": [],
    "unlocked": [],
}


async def profile(api: Client, user: str) -> Json:
    answer = await api.get(user, "/rewards")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["profile"]
    return found


async def claim_all(api: Client, claims: Client, user: str) -> list[str]:
    """Claims what is completed; gives the grants' ids."""
    grants = []
    for mission in (await api.missions(user)).values():
        if mission["status"] == "COMPLETED":
            answer = await claims.claim(user, mission["assignment_id"])
            assert answer.status_code == 200, answer.text
            grants.append(answer.json()["grant_id"])
    return grants


async def test_a_new_user_is_at_level_one(api: Client) -> None:
    assert await profile(api, "nobody") == NOTHING


async def test_xp_counts_as_soon_as_it_is_earned_whatever_missions_do(api: Client, upstreams: Upstreams) -> None:
    await upstreams.send("ada", xp(30), xp(60, "practice"), xp(70, "streak_repair"))
    grown = await profile(api, "ada")
    assert grown["xp"] == {"total": 160, "earned": 160, "granted": 0}
    assert grown["level"] == {"level": 3, "progress": 10, "target": 150}


async def test_a_claim_adds_xp_gems_and_badges_once(
    api: Client, claims: Client, upstreams: Upstreams, pool: Pool
) -> None:
    await upstreams.send("ben", lesson(), xp(20))
    grants = await claim_all(api, claims, "ben")
    for mission in (await api.missions("ben")).values():
        await claims.claim("ben", mission["assignment_id"])

    grown = await profile(api, "ben")
    assert len(grants) == 2
    assert grown["xp"] == {"total": 30, "earned": 20, "granted": 10}
    assert (grown["gems"], grown["badges"], grown["items"]) == (10, ["first-sparks"], [])
    rows = await pool.fetch("select amount, xp_source, event_source, event_id from xp_log where origin = 'grant'")
    assert [tuple(row[:3]) for row in rows] == [(10, "mission_reward", "mission-system")]
    assert {row["event_id"] for row in rows} <= set(grants)


async def test_xp_from_rewards_moves_no_mission_and_its_echo_counts_nowhere(
    api: Client, claims: Client, upstreams: Upstreams, clock: Clock
) -> None:
    await upstreams.send("cleo", xp(20))
    yesterdays = (await api.missions("cleo"))["daily-xp-20"]
    clock.now += timedelta(days=1)
    before = {mission_id: mission["progress"] for mission_id, mission in (await todays(api, clock)).items()}
    assert before["daily-xp-20"] == 0

    assert (await claims.claim("cleo", yesterdays["assignment_id"])).status_code == 200
    await upstreams.send("cleo", xp(10, "mission_reward"))

    after = {mission_id: mission["progress"] for mission_id, mission in (await todays(api, clock)).items()}
    assert after == before
    assert (await profile(api, "cleo"))["xp"] == {"total": 30, "earned": 20, "granted": 10}


async def todays(api: Client, clock: Clock) -> dict[str, Json]:
    """Missions that are not over."""
    now = clock.now.isoformat()
    missions = (await api.get("cleo", "/missions")).json()["missions"]
    return {m["mission_id"]: m for m in missions if m["expires_at"] is None or m["expires_at"] > now}


async def test_items_badges_and_content_are_shown_as_granted(api: Client, upstreams: Upstreams, pool: Pool) -> None:
    for number, rewards in enumerate(
        (
            '[{"kind": "item", "item_id": "streak_freeze", "amount": 2}, {"kind": "badge", "badge_id": "b"}]',
            '[{"kind": "item", "item_id": "streak_freeze", "amount": 1}, {"kind": "unlock", "content_id": "story-1"}]',
            '[{"kind": "badge", "badge_id": "b"}, {"kind": "gems", "amount": 7}]',
        )
    ):
        await pool.execute(
            "insert into reward_grant values (gen_random_uuid(), gen_random_uuid(), 'dora', 'm', now() + $1 * interval '1 s', $2)",
            number,
            rewards,
        )
    await upstreams.send("dora", item("streak_freeze"))
    grown = await profile(api, "dora")
    assert grown["items"] == [{"item_id": "streak_freeze", "granted": 3}]
    assert (grown["badges"], grown["unlocked"], grown["gems"]) == (["b"], ["story-1"], 7)


async def test_every_page_shows_the_same_profile(
    api: Client, claims: Client, upstreams: Upstreams, clock: Clock
) -> None:
    await upstreams.send("eli", lesson(), xp(20))
    await claim_all(api, claims, "eli")
    first = (await api.get("eli", "/rewards?limit=1")).json()
    second = (await api.get("eli", f"/rewards?limit=1&cursor={first['next_cursor']}")).json()
    assert first["profile"] == second["profile"]
    assert first["grants"] != second["grants"]


async def test_the_streak_shows_the_longest_and_the_freezes(api: Client, upstreams: Upstreams) -> None:
    await upstreams.send("fay", streak(9, "2026-11-10"), streak(0, "2026-11-11", "broken"), streak(2, "2026-11-13"))
    await upstreams.send("fay", item("streak_freeze", quantity=2), item("extra_heart"))
    shown = (await api.get("fay", "/streak")).json()
    assert shown == {"days": 2, "day": "2026-11-13", "longest": 9, "freezes_used": 2}
