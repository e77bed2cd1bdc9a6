"""Dead letters over HTTP, for operators: found page by page, shown whole, sent through again, deleted."""

import base64
from datetime import datetime
from typing import Any

import httpx
import pytest

from mission_events import DeadLetter
from services.adapters.kafka.reader import read_from
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.tokens import TokenKind
from services.stack.server import Addresses
from tests.support.http import Client, Clock, problem
from tests.support.ledger import partition_of

BAD = b"\xff no event"


@pytest.fixture
def topic(topic_prefix: str) -> str:
    return f"{topic_prefix}learning.xp-earned"


@pytest.fixture
async def kept(pool: Pool, topic: str, clock: Clock) -> list[DeadLetter]:
    """Five letters, and a sixth without key and value."""
    at = int(clock.now.timestamp() * 1000)
    letters = [
        DeadLetter(BAD, b"ann", (("trace", b"\x00"),), "not_json", "no JSON", "", topic, 7, number, at)
        for number in range(5)
    ]
    letters.append(DeadLetter(None, None, (), "tombstone", "nothing", "", topic, 7, 5, at))
    async with BatchLedger(pool, partition_of).transaction() as transaction:
        await transaction.of((topic, 7)).dead_letters(1, letters)
    return letters


async def call(api: Client, method: str, path: str = "", **options: Any) -> httpx.Response:
    headers = api.headers(TokenKind.ADMIN, "olga")
    return await api.http.request(method, f"/admin/dead-letters{path}", headers=headers, **options)


async def test_letters_are_counted_and_listed_page_by_page(api: Client, kept: list[DeadLetter], topic: str) -> None:
    seen: list[int] = []
    query = {"limit": "2", "topic": topic, "state": "open"}
    while True:
        page = (await call(api, "GET", params=query)).json()
        seen += [letter["offset"] for letter in page["dead_letters"]]
        if "next_cursor" not in page:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [letter.offset for letter in kept]
    assert {(c["reason"], c["letters"]) for c in page["counts"]} == {("not_json", 5), ("tombstone", 1)}
    only = (await call(api, "GET", params={"reason": "tombstone"})).json()
    assert [letter["value_bytes"] for letter in only["dead_letters"]] == [None]


async def test_a_letter_is_shown_with_its_bytes(api: Client, kept: list[DeadLetter], topic: str) -> None:
    letter = (await call(api, "GET", f"/{topic}/7/0")).json()
    assert base64.b64decode(letter["value"]) == BAD
    assert letter["value_text"] is None, "it is no text"
    assert letter["headers"] == [{"name": "trace", "value": "AA=="}]
    assert datetime.fromisoformat(letter["recorded_at"]).timestamp() * 1000 == kept[0].timestamp


async def test_a_replay_writes_the_same_bytes_with_the_same_time_and_says_where(
    api: Client, kept: list[DeadLetter], topic: str, addresses: Addresses
) -> None:
    answer = await call(api, "POST", f"/{topic}/7/1/replay", json={"reason": "mended"})
    assert answer.status_code == 200, answer.text
    at = answer.json()
    records = [
        record
        async for place, record in read_from(addresses.kafka_bootstrap, topic, {at["partition"]: at["offset"]})
        if place.partition == at["partition"]
    ]
    assert (records[0].key, records[0].value, records[0].timestamp) == (b"ann", BAD, kept[1].timestamp)
    assert dict(records[0].headers) == {"trace": b"\x00", "dead_letter_copy_of": f"{topic}/7/1/1".encode()}
    (line,) = (await call(api, "GET", f"/{topic}/7/1")).json()["history"]
    assert (line["by"], line["why"], line["offset"]) == ("olga", "mended", at["offset"])
    replayed = (await call(api, "GET", params={"state": "replayed"})).json()["dead_letters"]
    assert [letter["offset"] for letter in replayed] == [1]


async def test_what_cannot_be_published_again_is_refused_with_the_reason(
    api: Client, kept: list[DeadLetter], topic: str
) -> None:
    refused = problem(await call(api, "POST", f"/{topic}/7/{kept[5].offset}/replay"), 409, "dead-letter-kept")
    assert "neither key nor value" in refused["detail"]


async def test_a_letter_is_deleted_and_the_deed_recorded(
    api: Client, kept: list[DeadLetter], topic: str, pool: Pool
) -> None:
    assert (await call(api, "DELETE", f"/{topic}/7/{kept[2].offset}", params={"reason": "seen"})).status_code == 204
    problem(await call(api, "DELETE", f"/{topic}/7/2"), 404, "dead-letter-not-found")
    rows = await pool.fetch("select by_whom, why, action from operator_action")
    assert [tuple(row) for row in rows] == [("olga", "seen", "purge-dead-letters")]


@pytest.mark.parametrize(
    "query", [{"since": "2026-11-22T08:00:00"}, {"until": "0.5"}, {"state": "lost"}, {"cursor": "x"}]
)
async def test_a_query_that_says_nothing_usable_is_refused(api: Client, query: dict[str, str]) -> None:
    problem(await call(api, "GET", params=query), 422, "invalid-request")
