"""GET /questions/next: what a learner gets to answer, on a real ledger, and what it costs."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.adapters.ledger.connection import Pool
from services.adapters.ledger.queries import queries
from services.adapters.ledger.questions import HISTORY_MAX, MISTAKES_MAX, QuestionHistory
from services.adapters.tokens import TokenKind
from services.missions.history import attempts
from tests.support.events import answer, lesson
from tests.support.http import Client, Clock, Upstreams, problem

Json = dict[str, Any]
DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    """Noon of today: so that nothing here meets a midnight."""
    return Clock(datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0))


async def questions(api: Client, user: str, query: str = "") -> list[Json]:
    """What the user gets."""
    response = await api.get(user, f"/questions/next{query}")
    assert response.status_code == 200, response.text
    found: list[Json] = response.json()["questions"]
    return found


def answered(question: Json, *, correct: bool = True) -> Any:
    """The event of an answer to a question as it was given out."""
    fields = ("difficulty", "topic_id", "chapter_id", "language", "concept_id", "concept_kind")
    known = {name: question[name] for name in fields if name in question}
    return answer(question["question_id"], correct=correct, **known)


async def test_a_new_user_gets_ten_easy_questions_of_the_first_chapter(api: Client) -> None:
    response = await api.get("ada", "/questions/next")
    found = response.json()["questions"]
    assert len(found) == 10
    assert {(q["chapter_id"], q["difficulty"]) for q in found} == {("python-basics", "easy")}
    assert found[0]["reason"] == {"code": "chapter", "text": "New in your current chapter, python-basics."}
    assert found[0]["prompt"]
    assert response.headers["cache-control"] == "private, no-cache"


async def test_the_first_call_issues_the_days_missions(api: Client) -> None:
    await questions(api, "ada", "?timezone=Asia/Kathmandu")
    missions = await api.missions("ada")
    assert set(missions) == {"daily-lesson-1", "fix-mistakes-2", "daily-xp-20"}
    assert missions["daily-xp-20"]["starts_at"].endswith("T18:15:00Z")


async def test_a_mistake_is_asked_again_for_the_mission_that_wants_it_and_answering_it_right_completes_it(
    api: Client, upstreams: Upstreams
) -> None:
    first, second, *_ = await questions(api, "ada")
    await upstreams.send("ada", answered(first, correct=False), answered(second, correct=False))
    assignment_id = (await api.missions("ada"))["fix-mistakes-2"]["assignment_id"]
    for query in ("?count=2", "?count=50&purpose=mission", f"?purpose=mission:{assignment_id}"):
        found = await questions(api, "ada", query)
        assert {q["question_id"] for q in found} == {first["question_id"], second["question_id"]}
        assert found[0]["reason"] == {
            "code": "mission",
            "text": 'Counts for "Fix 2 mistakes".',
            "mission_id": "fix-mistakes-2",
            "assignment_id": assignment_id,
        }
    await upstreams.send("ada", answered(first), answered(second))
    assert (await api.missions("ada"))["fix-mistakes-2"]["status"] == "COMPLETED"
    assert await questions(api, "ada", "?purpose=mistakes") == []
    assert await questions(api, "ada", f"?purpose=mission:{assignment_id}") == []


async def test_reviews_come_due_and_the_chapter_follows_the_lessons(
    api: Client, upstreams: Upstreams, clock: Clock
) -> None:
    first, *_ = await questions(api, "ada")
    await upstreams.send("ada", answered(first), lesson(chapter_id="sql-select", language="sql"))
    assert await questions(api, "ada", "?purpose=review") == []
    clock.now += 20 * DAY
    [due] = await questions(api, "ada", "?purpose=review")
    assert (due["question_id"], due["reason"]["code"]) == (first["question_id"], "due_review")
    fresh = await questions(api, "ada", "?purpose=chapter&count=3")
    assert [(q["chapter_id"], q["reason"]["code"]) for q in fresh] == [("sql-select", "chapter")] * 3


async def test_the_same_call_gives_the_same_questions_and_none_twice(api: Client) -> None:
    first = await questions(api, "ada", "?count=50")
    assert await questions(api, "ada", "?count=50") == first
    assert len({q["question_id"] for q in first}) == 50


async def test_answers_of_others_change_nothing(api: Client, upstreams: Upstreams) -> None:
    before = await questions(api, "ada")
    await upstreams.send("bob", *(answered(q, correct=False) for q in before))
    assert await questions(api, "ada") == before


async def test_titles_come_in_the_callers_language_or_in_english(api: Client, upstreams: Upstreams) -> None:
    [first] = await questions(api, "ada", "?count=1")
    await upstreams.send("ada", answered(first, correct=False))
    [again] = await questions(api, "ada", "?count=1&locale=de")
    assert again["reason"]["text"] == 'Counts for "Fix 2 mistakes".'


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("count=0", "count"),
        ("count=51", "count"),
        ("count=many", "count"),
        ("purpose=fun", "purpose"),
        ("purpose=", "purpose"),
        ("purpose=mission:of-somebody-else", "purpose"),
        (f"purpose={'m' * 161}", "purpose"),
        ("timezone=Mars", "timezone"),
        ("locale=1", "locale"),
    ],
)
async def test_what_is_wrong_with_a_call_is_said(api: Client, query: str, parameter: str) -> None:
    document = problem(await api.get("ada", f"/questions/next?{query}"), 422, "invalid-request")
    assert [error["parameter"] for error in document["errors"]] == [parameter]


async def test_only_a_user_may_ask(api: Client) -> None:
    problem(await api.http.get("/questions/next"), 401, "missing-token")
    refused = await api.http.get("/questions/next", headers=api.headers(TokenKind.SERVICE))
    assert refused.status_code == 403


async def test_the_call_is_described(api: Client) -> None:
    document = (await api.http.get("/openapi.json")).json()
    operation = document["paths"]["/questions/next"]["get"]
    assert {p["name"] for p in operation["parameters"]} >= {"count", "purpose"}
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/QuestionsAnswer"}
    assert set(document["components"]["schemas"]["QuestionView"]["required"]) >= {"question_id", "reason", "prompt"}


async def test_the_ledger_remembers_answers_one_by_one_in_order_of_time(
    pool: Pool, upstreams: Upstreams, clock: Clock
) -> None:
    for days in (3, 1, 2):
        await upstreams.send("ada", answer("q-1", correct=days == 2), at=clock.now - days * DAY)
    [record] = await QuestionHistory(pool).of_questions("ada", ["q-1", "q-2"])
    expected = [(clock.now - days * DAY, days == 2) for days in (3, 2, 1)]
    assert [(datetime.fromtimestamp(a.at, UTC), a.correct) for a in attempts(record)] == expected


async def fill(pool: Pool, user: str, rows: int, mistakes: int, now: datetime) -> None:
    """A long history: the first `mistakes` questions are open mistakes, the first of them the newest."""
    await pool.execute(
        "insert into user_question (user_id, question_id, answers, correct_answers, last_correct, last_answered_at,"
        " mistake_since, topic_id, chapter_id, language)"
        " select $1, 'q-' || lpad(n::text, 6, '0'), 1, 0, n > $3, $4::timestamptz - n * interval '1 minute',"
        " case when n <= $3 then $4::timestamptz - n * interval '1 minute' end, 'topic', 'chapter', 'python'"
        " from generate_series(1, $2) as n",
        user,
        rows,
        mistakes,
        now,
    )


async def test_a_short_history_is_read_whole_wherever_it_begins(pool: Pool, clock: Clock) -> None:
    await fill(pool, "ada", HISTORY_MAX, 3, clock.now)
    for start in ("", "q-000200", "zebra"):
        read = await QuestionHistory(pool).of_user("ada", start)
        assert len({record.question_id for record in read}) == len(read) == HISTORY_MAX


async def test_of_a_long_history_a_part_and_the_newest_and_oldest_mistakes_are_read(pool: Pool, clock: Clock) -> None:
    await fill(pool, "ada", 5_000, 1_000, clock.now)
    await fill(pool, "bob", 1_000, 0, clock.now)
    read = await QuestionHistory(pool).of_user("ada", "q-004900")
    names = {record.question_id for record in read}
    assert len(names) == len(read)
    part = {f"q-{n:06}" for n in [*range(4_900, 5_001), *range(1, HISTORY_MAX - 100)]}
    newest = {f"q-{n:06}" for n in range(1, MISTAKES_MAX + 1)}
    oldest = {f"q-{n:06}" for n in range(1_000 - MISTAKES_MAX + 1, 1_001)}
    assert names == part | newest | oldest
    assert {record.user_id for record in read} == {"ada"}


def rows_scanned(plan: Json) -> int:
    """Rows that the scans of tables in a plan have read."""
    assert plan["Node Type"] not in {"Seq Scan", "Bitmap Heap Scan"}, plan
    own = 0
    if "Index" in plan["Node Type"]:
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return int(own) + sum(rows_scanned(child) for child in plan.get("Plans", ()))


async def test_the_work_of_a_read_does_not_grow_with_the_history(pool: Pool, clock: Clock) -> None:
    await fill(pool, "ada", 20_000, 5_000, clock.now)
    await pool.execute("analyze user_question")
    scanned = []
    for name, arguments in (
        ("history_of_user", ("ada", "q-010000", HISTORY_MAX, MISTAKES_MAX)),
        ("questions_of_user", ("ada", [f"q-{n:06}" for n in range(300)])),
    ):
        explained = await pool.fetchval(
            f"explain (analyze, buffers, format json) {queries('questions')[name]}", *arguments
        )
        scanned.append(rows_scanned(json.loads(explained)[0]["Plan"]))
    assert scanned[0] <= HISTORY_MAX + 2 * MISTAKES_MAX
    assert scanned[1] <= 300


async def test_a_learner_with_twenty_thousand_answers_is_served(api: Client, pool: Pool, clock: Clock) -> None:
    await fill(pool, "ada", 20_000, 5_000, clock.now)
    assert len(await questions(api, "ada", "?count=50")) == 50
