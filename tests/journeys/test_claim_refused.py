"""Claims that must not pay: somebody else's, too early, twice at once, or with a token that proves nothing."""

import asyncio
import base64
import json
from datetime import timedelta

import httpx

from services.adapters.tokens import TokenKind
from tests.support.events import lesson
from tests.support.system import Learner, Running, until


async def with_completed_lesson(system: Running, name: str) -> tuple[Learner, str]:
    learner = system.learner(name)
    await learner.opens_app()
    await learner.does(lesson())
    missions = await learner.until_progress(daily_lesson_1=1)
    return learner, missions["daily-lesson-1"]["assignment_id"]


async def test_another_users_assignment_is_not_found(system: Running) -> None:
    owner, assignment_id = await with_completed_lesson(system, "owner")
    thief = system.learner("thief")

    answer = await thief.claim(assignment_id)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await owner.missions())["daily-lesson-1"]["status"] == "COMPLETED"


async def test_a_hundred_claims_at_once_give_one_grant(system: Running) -> None:
    learner, assignment_id = await with_completed_lesson(system, "impatient")

    answers = await asyncio.gather(*(learner.claim(assignment_id) for _ in range(100)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["grant_id"] for answer in answers}) == 1
    rows = await system.fetch("select count(*) from reward_grant where user_id = $1", learner.user)
    assert rows[0][0] == 1

    async def is_published() -> bool:
        return len(await system.events_out("missions.reward-granted", learner.user)) >= 1

    await until(is_published, "the grant on its topic")
    assert len(await system.events_out("missions.reward-granted", learner.user)) == 1


async def test_claiming_before_completion_is_refused(system: Running) -> None:
    learner = system.learner("too-early")
    missions = await learner.opens_app()

    answer = await learner.claim(missions["daily-lesson-1"]["assignment_id"])

    assert answer.status_code == 409
    assert "detail" in answer.json()


async def test_an_expired_token_is_refused(system: Running) -> None:
    learner, assignment_id = await with_completed_lesson(system, "expired")
    token = system.token(TokenKind.USER, learner.user, timedelta(minutes=-10))

    answer = await learner.claim(assignment_id, {"Authorization": f"Bearer {token}"})

    assert answer.status_code == 401
    assert (await learner.missions())["daily-lesson-1"]["status"] == "COMPLETED"


async def test_a_token_without_signature_is_refused(system: Running) -> None:
    learner, assignment_id = await with_completed_lesson(system, "unsigned")
    payload = system.token(TokenKind.USER, learner.user).split(".")[1]
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()

    answer = await learner.claim(assignment_id, {"Authorization": f"Bearer {header}.{payload}."})

    assert answer.status_code == 401
    assert (await learner.missions())["daily-lesson-1"]["status"] == "COMPLETED"


async def test_no_token_and_a_services_token_are_refused(system: Running) -> None:
    _, assignment_id = await with_completed_lesson(system, "nobody")
    service = system.token(TokenKind.SERVICE)
    async with httpx.AsyncClient(base_url=system.api_url) as http:
        nobody = await http.post("/missions/claim", json={"assignment_id": assignment_id})
        wrong_kind = await http.post(
            "/missions/claim",
            json={"assignment_id": assignment_id},
            headers={"Authorization": f"Bearer {service}"},
        )
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert wrong_kind.status_code == 403
