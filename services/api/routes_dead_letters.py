"""The calls of operators about dead letters: find, show, send through again, delete."""

import base64
import re
from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from mission_events.fields import Instant
from services.adapters.http import AdminCaller, answer_schemas, body_schema, json_answer
from services.adapters.kafka.errors import KafkaProblem
from services.adapters.ledger.actions import By
from services.adapters.ledger.dead_letters import LetterFilter, LetterState, ListedLetter, Place, StoredLetter
from services.adapters.problems import (
    DEAD_LETTER_KEPT,
    DEAD_LETTER_NOT_FOUND,
    Problem,
    unavailable,
)
from services.operations.dead_letters import DeadLetters, Kept, NoLetter, Timestamp

from .paging import PAGE_SIZE, Cursor, Limit, decode_cursor, encode_cursor, link_to_next
from .routes_admin import ActionRequest, Reason, action_of

PLACE_TEXT = re.compile(r"[A-Za-z0-9._-]{1,249}/\d{1,9}/\d{1,18}/\d{1,9}")
"""A place in a cursor: topic names as Kafka allows them."""

Answer = TypeVar("Answer")


class LetterCountView(msgspec.Struct):
    """Letters of one topic and reason that the query names."""

    topic: str
    reason: str
    letters: int
    open: int
    newest: datetime


class LetterView(msgspec.Struct):
    """A letter in the list."""

    topic: str
    partition: int
    offset: int
    incarnation: int
    reason: str
    detail: str
    recorded_at: datetime
    created_at: datetime
    state: str
    replays: int
    returns: int
    value_bytes: int | None


class LetterList(msgspec.Struct, omit_defaults=True):
    """A page of letters, newest first, and how many there are of each topic and reason."""

    counts: list[LetterCountView]
    dead_letters: list[LetterView]
    next_cursor: str | None = None


class LetterHistoryView(msgspec.Struct):
    """What happened to a letter; `passed`: the processor has read the copy, so that it was applied unless it has come back."""

    what: str
    at: datetime
    by: str | None
    why: str | None
    partition: int | None
    offset: int | None
    reason: str | None
    detail: str | None
    passed: bool


class LetterHeaderView(msgspec.Struct):
    """A header of the original record; its bytes in base64."""

    name: str
    value: str | None


class WholeLetter(msgspec.Struct):
    """A letter with the original bytes in base64, and as text where they are UTF-8."""

    topic: str
    partition: int
    offset: int
    incarnation: int
    reason: str
    detail: str
    recorded_at: datetime
    created_at: datetime
    key: str | None
    value: str | None
    value_text: str | None
    headers: list[LetterHeaderView]
    history: list[LetterHistoryView]


class LetterReplayed(msgspec.Struct):
    """Where the copy was written."""

    topic: str
    partition: int
    offset: int


class ReplayRequest(ActionRequest):
    """Why, and which timestamp the copy gets."""

    timestamp: Literal["original", "now"] = Field(
        default="original",
        description="`original`: judged as on the day on which it came; `now`: as if it came now",
    )


SCHEMAS = answer_schemas(LetterList, WholeLetter, LetterReplayed)
_REPLAY = body_schema(ReplayRequest)
_REPLAY["requestBody"]["required"] = False
_encode = msgspec.json.Encoder(order="deterministic").encode

Topic = Annotated[str, Path(max_length=249, pattern=r"^[A-Za-z0-9._-]+$")]
Partition = Annotated[int, Path(ge=0, lt=2**31)]
Offset = Annotated[int, Path(ge=0, lt=2**63)]
Incarnation = Annotated[int | None, Query(ge=1, lt=2**31, description="Account of the partition; default: the newest")]
Code = Annotated[
    str | None, Query(alias="reason", max_length=100, pattern=r"^[^\x00]*$", description="This reason code")
]
OfTopic = Annotated[
    str | None, Query(alias="topic", max_length=249, pattern=r"^[^\x00]*$", description="From this topic")
]
Since = Annotated[Instant | None, Query(description="Kept at this time (RFC 3339) or later")]
Until = Annotated[Instant | None, Query(description="Kept before this time (RFC 3339)")]
State = Annotated[LetterState | None, Query(description="`open`: never sent through again, or come back since")]


def dead_letters_router(letters: DeadLetters) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["operators"], prefix="/admin/dead-letters")

    @router.get(
        "",
        operation_id="findDeadLetters",
        summary="Records that could not be applied, newest first",
        responses={200: json_answer(LetterList, "A page of letters")},
    )
    async def find(
        _caller: AdminCaller,
        reason: Code = None,
        topic: OfTopic = None,
        since: Since = None,
        until: Until = None,
        state: State = None,
        limit: Limit = PAGE_SIZE,
        cursor: Cursor = None,
    ) -> Response:
        which = LetterFilter(reason, topic, since, until, state)
        after = decode_cursor(cursor, PLACE_TEXT)
        counts = await letters.store.counts(which)
        found = await letters.store.listed(which, limit + 1, after and (after[0], _place_of(after[1])))
        last = found[limit - 1] if len(found) > limit else None
        following = encode_cursor((last.created_at, last.place.text)) if last else None
        page = LetterList(
            [LetterCountView(c.topic, c.reason, c.letters, c.open, c.newest) for c in counts],
            [_listed(letter) for letter in found[:limit]],
            following,
        )
        query = {"limit": str(limit), **{k: v for k, v in _texts(which).items() if v}}
        return _answer(page, link_to_next("/admin/dead-letters", query, following))

    @router.get(
        "/{topic}/{partition}/{offset}",
        operation_id="getDeadLetter",
        summary="One letter: the original bytes, and what happened to it",
        responses={200: json_answer(WholeLetter, "The letter")},
    )
    async def show(
        _caller: AdminCaller, topic: Topic, partition: Partition, offset: Offset, incarnation: Incarnation = None
    ) -> Response:
        return _answer(_whole(await _found(letters.find(topic, partition, offset, incarnation))))

    @router.post(
        "/{topic}/{partition}/{offset}/replay",
        operation_id="replayDeadLetter",
        summary="Publish the original bytes to their topic again; what was counted before is not counted twice",
        openapi_extra=_REPLAY,
        responses={200: json_answer(LetterReplayed, "The copy is written")},
    )
    async def replay(
        request: Request,
        caller: AdminCaller,
        topic: Topic,
        partition: Partition,
        offset: Offset,
        incarnation: Incarnation = None,
    ) -> Response:
        asked = await action_of(ReplayRequest, request)
        letter = await _found(letters.find(topic, partition, offset, incarnation))
        try:
            outcome = await letters.replay(letter, Timestamp(asked.timestamp), By(caller.subject, asked.reason))
        except KafkaProblem:
            raise unavailable("Kafka") from None
        if isinstance(outcome, Kept):
            raise Problem(DEAD_LETTER_KEPT, f"It is not published again: {outcome.why}.")
        return _answer(LetterReplayed(letter.place.topic, outcome.partition, outcome.offset))

    @router.delete(
        "/{topic}/{partition}/{offset}",
        operation_id="purgeDeadLetter",
        summary="Delete a letter for good; the record of actions keeps who did it",
        status_code=204,
    )
    async def purge(
        caller: AdminCaller,
        topic: Topic,
        partition: Partition,
        offset: Offset,
        incarnation: Incarnation = None,
        reason: Reason = None,
    ) -> Response:
        letter = await _found(letters.find(topic, partition, offset, incarnation))
        await letters.store.purge_one(letter.place, By(caller.subject, reason))
        return Response(status_code=204)

    return router


async def _found(letter: Awaitable[Answer]) -> Answer:
    try:
        return await letter
    except NoLetter as error:
        text = str(error)
        raise Problem(DEAD_LETTER_NOT_FOUND, f"{text[:1].upper()}{text[1:]}.") from None


def _place_of(text: str) -> Place:
    topic, partition, offset, incarnation = text.split("/")
    return Place(topic, int(partition), int(offset), int(incarnation))


def _texts(which: LetterFilter) -> dict[str, str]:
    told = which.told()
    return {name: value.isoformat() if isinstance(value, datetime) else str(value) for name, value in told.items()}


def _listed(letter: ListedLetter) -> LetterView:
    return LetterView(
        *letter.place,
        letter.reason,
        letter.detail,
        letter.recorded_at,
        letter.created_at,
        letter.state,
        letter.replays,
        letter.returns,
        letter.value_bytes,
    )


def _whole(letter: StoredLetter) -> WholeLetter:
    return WholeLetter(
        *letter.place,
        letter.reason,
        letter.detail,
        letter.recorded_at,
        letter.created_at,
        _base64(letter.key),
        _base64(letter.value),
        _text(letter.value),
        [LetterHeaderView(name, _base64(value)) for name, value in letter.headers],
        [
            LetterHistoryView(h.what, h.at, h.by, h.why, h.partition, h.offset, h.reason, h.detail, h.is_passed)
            for h in letter.history
        ],
    )


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _answer(body: msgspec.Struct, headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(body), 200, {"Cache-Control": "no-store", **(headers or {})}, "application/json")
