"""An event counts once: delivered again, produced again, or with the processor killed in mid-stream."""

import random

import pytest

from mission_events import OutEvent
from tests.support.events import answer, lesson, xp
from tests.support.system import Learner, Running, until

TOPICS = ["learning.lesson-completed", "learning.xp-earned", "learning.question-answered"]


async def open_day(learner: Learner) -> None:
    await learner.opens_app()
    for question in ("q-1", "q-2"):
        await learner.does(answer(question, correct=False))


async def test_copies_of_an_event_count_once(system: Running) -> None:
    learner = system.learner("copies")
    await open_day(learner)

    await learner.does(xp(7), event_id="xp-a-" + learner.user, times=3)
    await learner.does(xp(5), event_id="xp-b-" + learner.user)
    await learner.does(lesson(), event_id="lesson-" + learner.user, times=2)
    await learner.does(answer("q-1", correct=True), event_id="fix-" + learner.user, times=3)
    await system.drained(TOPICS)

    missions = await learner.missions()
    assert missions["daily-xp-20"]["progress"] == 12
    assert missions["fix-mistakes-2"]["progress"] == 1
    completed = await published(system, learner, "missions.mission-completed", 1)
    assert [event.data.mission_id for event in completed] == ["daily-lesson-1"]


@pytest.mark.timeout(240)
async def test_a_killed_processor_changes_nothing(system: Running) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    learners = [system.learner(f"killed-{n}") for n in range(20)]
    amounts: dict[str, list[int]] = {learner.user: [] for learner in learners}
    for learner in learners:
        await learner.opens_app()

    for burst in range(6):
        for learner in learners:
            for _ in range(5):
                amount = chance.randint(1, 2)
                amounts[learner.user].append(amount)
                await learner.does(xp(amount), times=chance.choice([1, 1, 1, 2, 3]))
            if burst == 3:
                await learner.does(lesson())
        if burst in (1, 3):
            system.stack.kill_role("processor")
            system.stack.restart_role("processor")
    await system.drained(TOPICS)

    for learner in learners:
        missions = await learner.missions()
        assert missions["daily-xp-20"]["progress"] == min(20, sum(amounts[learner.user])), learner.user
        assert missions["daily-lesson-1"]["status"] == "COMPLETED"
        grant = await learner.claim(missions["daily-lesson-1"]["assignment_id"])
        assert grant.status_code == 200
        granted = await published(system, learner, "missions.reward-granted", 1)
        assert [event.id for event in granted] == [grant.json()["grant_id"]]
    await everything_is_accounted_for(system)


async def published(system: Running, learner: Learner, topic: str, wanted: int) -> list[OutEvent]:
    """The learner's events on a topic out, once there are as many as wanted."""

    async def enough() -> bool:
        return len(await system.events_out(topic, learner.user)) >= wanted

    await until(enough, f"{wanted} events of {learner.user} on {topic}")
    return await system.events_out(topic, learner.user)


async def everything_is_accounted_for(system: Running) -> None:
    rows = await system.fetch(
        "select topic, partition, next_offset - first_offset as moved, "
        "applied + unmatched + duplicate + late + dead_letter + unknown + skipped as counted from input_position"
    )
    assert rows
    assert [(row["topic"], row["partition"]) for row in rows if row["moved"] != row["counted"]] == []
