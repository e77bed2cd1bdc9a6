"""Day 1 of the product brief, through the real services: what the learner sees, and what the reward service reads."""

from tests.support.events import answer, lesson, xp
from tests.support.system import Learner, Running, until

BRIEFS_THREE = {"daily-lesson-1", "fix-mistakes-2", "daily-xp-20"}


async def live_day_one(learner: Learner) -> None:
    """The events of the brief's first day: a lesson, 20 XP, two mistakes, one of them put right."""
    for question in ("q-1", "q-2"):
        await learner.does(answer(question, correct=False))
    await learner.does(lesson(hearts_lost=2))
    await learner.does(xp(20))
    await learner.does(answer("q-1", correct=True))


async def test_a_new_learner_gets_exactly_the_briefs_three_missions(system: Running) -> None:
    missions = await system.learner("newcomer").opens_app()

    assert set(missions) == BRIEFS_THREE
    assert {m["status"] for m in missions.values()} == {"IN_PROGRESS"}
    assert {m["progress"] for m in missions.values()} == {0}


async def test_the_first_day_completes_two_missions_and_half_of_the_third(system: Running) -> None:
    learner = system.learner("day-one")
    await learner.opens_app()

    await live_day_one(learner)

    missions = await learner.until_progress(daily_lesson_1=1, daily_xp_20=20, fix_mistakes_2=1)
    shown = {m["mission_id"]: (m["progress"], m["target"], m["status"]) for m in missions.values()}
    assert shown == {
        "daily-lesson-1": (1, 1, "COMPLETED"),
        "daily-xp-20": (20, 20, "COMPLETED"),
        "fix-mistakes-2": (1, 2, "IN_PROGRESS"),
    }


async def test_claiming_gives_gems_xp_and_a_badge_and_one_grant_each(system: Running) -> None:
    learner = system.learner("claimer")
    await learner.opens_app()
    await live_day_one(learner)
    missions = await learner.until_progress(daily_lesson_1=1, daily_xp_20=20)
    complete = {m["assignment_id"] for m in missions.values() if m["status"] == "COMPLETED"}

    grants = [(await learner.claim(assignment_id)) for assignment_id in complete]

    assert [grant.status_code for grant in grants] == [200, 200]
    rewards = [reward for grant in grants for reward in grant.json()["rewards"]]
    assert {reward["kind"] for reward in rewards} == {"gems", "xp", "badge"}
    claimed = await learner.missions()
    assert claimed["daily-lesson-1"]["status"] == claimed["daily-xp-20"]["status"] == "CLAIMED"
    assert claimed["daily-lesson-1"]["claimed_at"] is not None

    async def two_published() -> bool:
        return len(await system.events_out("missions.reward-granted", learner.user)) >= 2

    await until(two_published, "both grants on missions.reward-granted")
    published = await system.events_out("missions.reward-granted", learner.user)
    assert sorted(event.id for event in published) == sorted(grant.json()["grant_id"] for grant in grants)
    completed = await system.events_out("missions.mission-completed", learner.user)
    assert {event.data.assignment_id for event in completed} == complete


async def test_the_projection_may_be_flushed_while_running(system: Running) -> None:
    learner = system.learner("flushed")
    await learner.opens_app()
    await learner.does(lesson())
    await learner.until_progress(daily_lesson_1=1)

    await flush(system)

    missions = await learner.missions()
    assert missions["daily-lesson-1"]["status"] == "COMPLETED"
    await learner.does(xp(5, "practice"))
    await learner.until_progress(daily_lesson_1=1, daily_xp_20=5)
    assert await projected(system, learner.user), "Redis has filled again"


async def flush(system: Running) -> None:
    from redis.asyncio import Redis

    redis = Redis.from_url(system.servers.addresses.redis_url)
    await redis.flushall()
    await redis.aclose()


async def projected(system: Running, user: str) -> bool:
    from redis.asyncio import Redis

    redis = Redis.from_url(system.servers.addresses.redis_url)
    found = await redis.exists(f"missions:{{{user}}}")
    await redis.aclose()
    return bool(found)
