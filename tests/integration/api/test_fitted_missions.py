"""Missions fitted to a user, in the app: the frozen target now and in the past, in the events, and what a claim opens at once."""

import json
from datetime import timedelta

import pytest

from mission_events import OutEvent, decode_out
from services.adapters.ledger.connection import Pool
from tests.support.events import answer, lesson, xp
from tests.support.http import Client, Clock, Upstreams

DAY = timedelta(days=1)


async def assigned_targets(pool: Pool, user: str, mission_id: str) -> list[int]:
    """The targets that the outbox tells of a mission's assignments."""
    rows = await pool.fetch(
        "select payload from outbox where topic = 'missions.mission-assigned' and key = $1 order by seq", user.encode()
    )
    events = [event for row in rows if isinstance(event := decode_out(row[0]), OutEvent)]
    return [e.data.objectives[0].target for e in events if e.data.mission_id == mission_id]  # type: ignore[union-attr] # of this topic


async def test_a_mission_asks_for_the_mistakes_that_there_are_and_remembers_it(
    api: Client, upstreams: Upstreams, clock: Clock, pool: Pool
) -> None:
    await upstreams.send("ada", *(answer(f"q-{n}", correct=False) for n in range(2)))
    clock.now += DAY

    shown = (await api.missions("ada"))["fix-mistakes-3"]
    assert (shown["title"], shown["progress"], shown["target"]) == ("Fix 2 past mistakes", 0, 2)
    assert await assigned_targets(pool, "ada", "fix-mistakes-3") == [2]

    await upstreams.send("ada", *(answer(f"q-{n}", correct=True) for n in range(2)))
    shown = (await api.missions("ada"))["fix-mistakes-3"]
    assert (shown["status"], shown["progress"], shown["target"]) == ("COMPLETED", 2, 2)

    row = await pool.fetchrow("select fit from assignment where user_id = 'ada' and mission_id = 'fix-mistakes-3'")
    assert row is not None
    assert json.loads(row["fit"]) == {
        "reason": "open_mistakes", "wanted": 3, "target": 2, "instead_of": "fix-mistakes-5",
    }  # fmt: skip
    clock.now += 20 * DAY  # long gone from the user's state
    assert "fix-mistakes-3" not in await api.missions("ada")
    past = (await api.get("ada", "/missions?status=all")).json()["missions"]
    (shown,) = (m for m in past if m["mission_id"] == "fix-mistakes-3")
    assert (shown["title"], shown["progress"], shown["target"]) == ("Fix 2 past mistakes", 2, 2)
    assert shown["objectives"] == [{"id": "fixed", "progress": 2, "target": 2}]


@pytest.mark.parametrize("first", ["event", "look"])
async def test_who_has_no_mistakes_practises_instead(
    api: Client, upstreams: Upstreams, clock: Clock, first: str
) -> None:
    user = f"ben-{first}"
    await upstreams.send(user, answer("q-1", correct=True))
    clock.now += DAY
    if first == "event":
        await upstreams.send(user, lesson())
    missions = await api.missions(user)
    assert missions["practice-right-10"]["target"] == 10
    today = {name for name, mission in missions.items() if mission["status"] == "IN_PROGRESS"}
    assert not {"fix-mistakes-2", "fix-mistakes-3", "fix-mistakes-5", "fix-yesterday-3"} & today


async def test_a_claim_opens_the_next_mission_on_the_same_day(
    api: Client, claims: Client, upstreams: Upstreams, clock: Clock
) -> None:
    for _ in range(4):
        await upstreams.send("cara", xp(5))
        clock.now += DAY
    missions = await api.missions("cara")
    assert missions["study-3-days"]["status"] == "COMPLETED"
    assert "streak-7" not in missions

    assert (await claims.claim("cara", missions["study-3-days"]["assignment_id"])).status_code == 200

    assert (await api.missions("cara"))["streak-7"]["status"] == "IN_PROGRESS"
