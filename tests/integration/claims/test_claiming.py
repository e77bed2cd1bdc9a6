"""Claims: one grant for each completed assignment, whoever asks how often and when."""

import asyncio
import json
import uuid
from datetime import timedelta

import pytest

from mission_events import RewardGranted, decode_out
from mission_events.events import OutEvent
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.adapters.tokens import TokenKind, TokenVerifier
from services.claims.app import create_app
from services.claims.claim_reward import ClaimReward
from services.missions.state import Assignment, Status
from services.operations.catalogue import CatalogueWatcher
from services.operations.refresh import FreshCatalogue
from tests.support.events import lesson, xp
from tests.support.http import Client, Clock, Upstreams, client_of, problem
from tests.support.ledger import partition_of

AT_ONCE = 100


async def assignments(pool: Pool, user: str) -> dict[str, Assignment]:
    state = (await Users(pool, partition_of).load([user]))[user]
    return {assignment.mission_id: assignment for assignment in state.assignments}


async def completed(upstreams: Upstreams, pool: Pool, user: str) -> str:
    """A user who has completed the daily lesson; gives its assignment's id."""
    await upstreams.send(user, lesson())
    assignment = (await assignments(pool, user))["daily-lesson-1"]
    assert assignment.status is Status.COMPLETED
    return assignment.assignment_id


async def granted_events(pool: Pool, user: str) -> list[OutEvent]:
    rows = await pool.fetch(
        "select payload, message_id::text from outbox where topic = 'missions.reward-granted' and key = $1 order by seq",
        user.encode(),
    )
    events = []
    for payload, message_id in rows:
        event = decode_out(payload)
        assert isinstance(event, OutEvent)
        assert event.id == message_id
        events.append(event)
    return events


async def test_a_claim_pays_what_the_mission_promised(
    claims: Client, upstreams: Upstreams, pool: Pool, projection: Projection, clock: Clock
) -> None:
    assignment_id = await completed(upstreams, pool, "ada")

    answer = await claims.claim("ada", assignment_id)

    assert answer.status_code == 200
    grant = answer.json()
    assert grant["assignment_id"] == assignment_id
    assert grant["mission_id"] == "daily-lesson-1"
    assert grant["rewards"] == [{"kind": "gems", "amount": 10}]
    assert str(uuid.UUID(grant["grant_id"])) == grant["grant_id"]

    after = (await assignments(pool, "ada"))["daily-lesson-1"]
    assert (after.status, after.claimed_at) == (Status.CLAIMED, clock.now)
    row = await pool.fetchrow("select status, claimed_at from assignment where assignment_id = $1", assignment_id)
    assert row is not None
    assert tuple(row) == ("CLAIMED", clock.now)
    [event] = await granted_events(pool, "ada")
    assert event.id == grant["grant_id"]
    assert isinstance(event.data, RewardGranted)
    assert json.loads(event.data.model_dump_json(include={"rewards"}))["rewards"] == grant["rewards"]
    shown = (await projection.load(["ada"]))["ada"]
    assert "daily-lesson-1" in shown.claimed_missions


async def test_claiming_again_gives_the_same_grant(
    claims: Client, upstreams: Upstreams, pool: Pool, clock: Clock
) -> None:
    assignment_id = await completed(upstreams, pool, "ben")
    first = await claims.claim("ben", assignment_id)
    clock.now += timedelta(hours=5)

    second = await claims.claim("ben", assignment_id)

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.content == first.content
    assert len(await granted_events(pool, "ben")) == 1


async def test_a_hundred_claims_at_once_make_one_grant(
    claims: Client,
    upstreams: Upstreams,
    pool: Pool,
    projection: Projection,
    live_catalogue: CatalogueWatcher,
    verifier: TokenVerifier,
    clock: Clock,
) -> None:
    """Also when they reach several processes of the role, which know nothing of each other."""
    assignment_id = await completed(upstreams, pool, "cara")
    use_cases = [ClaimReward(Users(pool, partition_of), projection, FreshCatalogue(live_catalogue)) for _ in range(5)]
    replicas = [client_of(create_app(use_case, verifier, clock), claims.tokens) for use_case in use_cases]

    keys = [{"Idempotency_Key": f"key-{n}"} if n % 2 else {} for n in range(AT_ONCE)]
    answers = await asyncio.gather(
        *(replicas[n % len(replicas)].claim("cara", assignment_id, **key) for n, key in enumerate(keys))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert await pool.fetchval("select count(*) from reward_grant where user_id = 'cara'") == 1
    assert len(await granted_events(pool, "cara")) == 1


async def test_another_users_assignment_does_not_exist_for_you(
    claims: Client, upstreams: Upstreams, pool: Pool
) -> None:
    assignment_id = await completed(upstreams, pool, "dan")
    await upstreams.send("eve", lesson())

    for thief in ("eve", "mallory"):
        body = {"assignment_id": assignment_id, "user_id": "dan", "sub": "dan"}
        headers = claims.headers(TokenKind.USER, thief)
        problem(await claims.http.post("/missions/claim", json=body, headers=headers), 404, "assignment-not-found")

    assert (await assignments(pool, "dan"))["daily-lesson-1"].status is Status.COMPLETED
    assert await granted_events(pool, "dan") == []
    assert await granted_events(pool, "eve") == []


@pytest.mark.parametrize("unknown", [str(uuid.UUID(int=1)), "no-uuid-at-all", "x" * 128, "💎", "a\x00b", "' or 1=1 --"])
async def test_what_nobody_was_given_is_not_found(
    claims: Client, upstreams: Upstreams, pool: Pool, unknown: str
) -> None:
    await completed(upstreams, pool, "finn")
    problem(await claims.claim("finn", unknown), 404, "assignment-not-found")


async def test_before_completion_there_is_nothing_to_claim(claims: Client, upstreams: Upstreams, pool: Pool) -> None:
    await upstreams.send("gus", lesson())
    open_one = (await assignments(pool, "gus"))["fix-mistakes-2"]
    assert open_one.status is Status.IN_PROGRESS

    document = problem(await claims.claim("gus", open_one.assignment_id), 409, "not-completed")

    assert "COMPLETED" in document["detail"]
    assert await granted_events(pool, "gus") == []


async def test_a_refusal_under_a_key_does_not_spoil_the_claim_that_follows(
    claims: Client, upstreams: Upstreams, pool: Pool
) -> None:
    await upstreams.send("hal", lesson())
    wanted = (await assignments(pool, "hal"))["daily-xp-20"].assignment_id
    problem(await claims.claim("hal", wanted, Idempotency_Key="tap"), 409, "not-completed")
    await upstreams.send("hal", xp(20))

    assert (await claims.claim("hal", wanted, Idempotency_Key="tap")).status_code == 200


async def test_rewards_wait_for_the_grace_and_no_longer(
    claims: Client, upstreams: Upstreams, pool: Pool, clock: Clock
) -> None:
    for user in ("iris", "jan"):
        await completed(upstreams, pool, user)
    until = (await assignments(pool, "iris"))["daily-lesson-1"].claimable_until
    assert until is not None
    iris, jan = [(await assignments(pool, user))["daily-lesson-1"].assignment_id for user in ("iris", "jan")]

    clock.now = until - timedelta(microseconds=1)
    assert (await claims.claim("iris", iris)).status_code == 200
    clock.now = until
    document = problem(await claims.claim("jan", jan), 410, "claim-expired")

    assert f"{until:%Y-%m-%d}" in document["detail"]
    assert (await claims.claim("iris", iris)).status_code == 200, "a grant is found at any time"
    assert await granted_events(pool, "jan") == []


async def test_what_has_left_the_state_is_found_in_the_ledger(
    claims: Client, upstreams: Upstreams, pool: Pool, clock: Clock
) -> None:
    claimed, missed = await completed(upstreams, pool, "kim"), await completed(upstreams, pool, "lou")
    first = await claims.claim("kim", claimed)
    open_before = (await assignments(pool, "kim"))["fix-mistakes-2"].assignment_id

    clock.now += timedelta(days=20)
    for user in ("kim", "lou"):
        await upstreams.send(user, lesson())
        ids = {a.assignment_id for a in (await assignments(pool, user)).values()}
        assert not ids & {claimed, missed, open_before}, "the old assignments have left the state"

    assert (await claims.claim("kim", claimed)).content == first.content
    problem(await claims.claim("lou", missed), 410, "claim-expired")
    problem(await claims.claim("kim", open_before), 409, "not-completed")
    problem(await claims.claim("lou", claimed), 404, "assignment-not-found")


async def test_an_idempotency_key_repeats_the_answer_and_names_one_request(
    claims: Client, upstreams: Upstreams, pool: Pool
) -> None:
    await upstreams.send("mia", lesson(), xp(20))
    of = await assignments(pool, "mia")
    first, other = of["daily-lesson-1"].assignment_id, of["daily-xp-20"].assignment_id

    answer = await claims.claim("mia", first, Idempotency_Key="tap-1")
    again = await claims.claim("mia", first, Idempotency_Key="tap-1")
    assert (answer.status_code, again.status_code) == (200, 200)
    assert again.content == answer.content
    problem(await claims.claim("mia", other, Idempotency_Key="tap-1"), 422, "idempotency-key-reused")
    assert (await assignments(pool, "mia"))["daily-xp-20"].status is Status.COMPLETED
    assert (await claims.claim("mia", other, Idempotency_Key="tap-2")).status_code == 200


async def test_keys_of_two_users_have_nothing_to_do_with_each_other(
    claims: Client, upstreams: Upstreams, pool: Pool
) -> None:
    ids = {user: await completed(upstreams, pool, user) for user in ("nina", "otto")}
    answers = {user: await claims.claim(user, ids[user], Idempotency_Key="same") for user in ids}
    assert {answer.status_code for answer in answers.values()} == {200}
    assert {user: answers[user].json()["assignment_id"] for user in ids} == ids


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "tab\there"])
async def test_a_key_that_is_none_is_refused(claims: Client, key: str) -> None:
    document = problem(await claims.claim("pia", str(uuid.uuid4()), Idempotency_Key=key), 422, "invalid-request")
    assert document["errors"][0]["parameter"] == "Idempotency-Key"


@pytest.mark.parametrize(
    "body", [{}, {"assignment_id": 5}, {"assignment_id": ""}, {"assignment_id": "x" * 129}, [], "x"]
)
async def test_a_body_of_another_shape_is_pointed_at(claims: Client, body: object) -> None:
    headers = claims.headers(TokenKind.USER, "quin")
    problem(await claims.http.post("/missions/claim", json=body, headers=headers), 422, "invalid-request")


async def test_a_body_over_16_kib_is_refused(claims: Client) -> None:
    response = await claims.claim("rosa", "x" * 17_000)
    problem(response, 413, "too-large")


async def test_the_openapi_document_says_how_to_claim(claims: Client) -> None:
    document = (await claims.http.get("/openapi.json")).json()
    claim = document["paths"]["/missions/claim"]["post"]
    assert claim["operationId"] == "claimMission"
    assert claim["security"] == [{"userToken": []}]
    assert {"200", "default"} == set(claim["responses"])
    assert any(parameter["name"] == "Idempotency-Key" for parameter in claim["parameters"])
