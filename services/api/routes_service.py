"""The calls of upstream services and of the clock: POST /missions/progress, resetDaily and resetWeekly."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel

from mission_events import Event
from mission_events.fields import Instant
from services.adapters.http import ServiceCaller, answer_schemas, json_answer, parse_body, read_body
from services.adapters.problems import INVALID_JSON, INVALID_REQUEST, TOO_LARGE, FieldError, Problem, unavailable
from services.missions.view import MissionView

from .locales import preferred_locales
from .read_missions import LedgerUnavailable, ReadMissions
from .take_events import EVENTS_MAX, WAIT_SECONDS_MAX, EventsUnavailable, Fate, TakeEvents, Taken

PROGRESS_BYTES_MAX = 1024 * 1024
"""500 events of 2 KiB; real ones have under 1 KiB."""

RESET_BYTES_MAX = 1024
"""A reset has at most a time in its body."""

EVENT_MEDIA_TYPES = frozenset(
    {"application/json", "application/cloudevents+json", "application/cloudevents-batch+json"}
)

PeriodKind = Literal["daily", "weekly"]

_PREFERRED_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})(?=$|[,;\s])")
_encode = msgspec.json.Encoder(order="deterministic").encode


class ResetPeriods(Protocol):
    """Closes what has ended and issues what begins; what the scheduler does by itself."""

    def __call__(self, kind: PeriodKind, now: datetime) -> Awaitable[Mapping[str, int]]:
        """Does what is due at `now`; gives counts by name. Safe to run twice and at once."""


class EventOutcome(msgspec.Struct, omit_defaults=True):
    """What became of one event, by its place in the call."""

    index: int
    outcome: Fate
    id: str | None = None
    applied: bool | None = None
    """With `Prefer: wait`: whether its effect is there already."""
    reason: str | None = None
    pointer: str | None = None
    detail: str | None = None


class ProgressAnswer(msgspec.Struct, omit_defaults=True):
    """What became of each event; with `Prefer: wait` also the missions of the users whose events took effect."""

    outcomes: list[EventOutcome]
    missions: dict[str, list[MissionView]] | None = None


class ResetAnswer(msgspec.Struct):
    """What a reset did, as counts by name."""

    now: datetime
    counts: dict[str, int]


class ResetRequest(BaseModel):
    """The time to act at; now, if there is none."""

    now: Instant | None = None


SCHEMAS = answer_schemas(ProgressAnswer, ResetAnswer)

Prefer = Annotated[str | None, Header(description=f"`wait=5` waits for the effect, at most {WAIT_SECONDS_MAX} s")]
Now = Annotated[Instant | None, Query(description="Act as at this time (RFC 3339); default: now")]

_ONE_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
    "description": "A CloudEvent 1.0 in structured mode, of one of the learning.* types",
}
_EVENTS_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            media_type: {
                "schema": {
                    "oneOf": [_ONE_EVENT, {"type": "array", "minItems": 1, "maxItems": EVENTS_MAX, "items": _ONE_EVENT}]
                }
            }
            for media_type in sorted(EVENT_MEDIA_TYPES)
        },
    }
}
_RESET_BODY = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": ResetRequest.model_json_schema()}},
    }
}


def progress_router(take: TakeEvents, read: ReadMissions, clock: Callable[[], datetime]) -> APIRouter:
    """The route that takes events."""
    router = APIRouter(tags=["services"])

    @router.post(
        "/missions/progress",
        operation_id="postProgress",
        summary="Publish learning events: one, or up to 500 in an array",
        status_code=202,
        openapi_extra=_EVENTS_BODY,
        responses={
            202: json_answer(ProgressAnswer, "What became of each event; accepted ones are in Kafka"),
            200: json_answer(ProgressAnswer, "With `Prefer: wait`: every accepted event has taken effect"),
        },
    )
    async def progress(request: Request, _caller: ServiceCaller, prefer: Prefer = None) -> Response:
        values = _split(await read_body(request, PROGRESS_BYTES_MAX, EVENT_MEDIA_TYPES))
        try:
            taken = await take(values, clock())
        except EventsUnavailable:
            raise unavailable("Kafka") from None
        seconds = _wait_seconds(prefer)
        if seconds is None:
            return _answer(202, ProgressAnswer(_outcomes(taken, None)))
        accepted = [t.event for t in taken if t.event is not None]
        applied = await take.wait(accepted, seconds)
        try:
            users = sorted({e.subject for e in accepted if (e.source, e.id) in applied})
            missions = await read.of_users(users, clock(), preferred_locales(None, None))
        except LedgerUnavailable:
            return _answer(202, ProgressAnswer(_outcomes(taken, applied)))
        all_applied = all((e.source, e.id) in applied for e in accepted)
        answer = ProgressAnswer(_outcomes(taken, applied), missions)
        return _answer(200 if all_applied else 202, answer, {"Preference-Applied": f"wait={seconds}"})

    return router


def reset_router(reset: ResetPeriods, clock: Callable[[], datetime]) -> APIRouter:
    """The routes that a cron calls."""
    router = APIRouter(tags=["services"])

    async def answer(kind: PeriodKind, request: Request, now: datetime | None) -> Response:
        at = (now or await _now_in_body(request) or clock()).astimezone(UTC)
        try:
            counts = await reset(kind, at)
        except LedgerUnavailable:
            raise unavailable("The ledger") from None
        return _answer(200, ResetAnswer(at, dict(counts)))

    about: dict[str, Any] = {
        "openapi_extra": _RESET_BODY,
        "responses": {200: json_answer(ResetAnswer, "What was done")},
    }

    @router.post("/missions/resetDaily", operation_id="resetDaily", summary="Close and issue daily missions", **about)
    async def reset_daily(request: Request, _caller: ServiceCaller, now: Now = None) -> Response:
        return await answer("daily", request, now)

    @router.post(
        "/missions/resetWeekly", operation_id="resetWeekly", summary="Close and issue weekly missions", **about
    )
    async def reset_weekly(request: Request, _caller: ServiceCaller, now: Now = None) -> Response:
        return await answer("weekly", request, now)

    return router


def _split(body: bytes) -> Sequence[bytes]:
    """The events of a body, each as the bytes that were sent."""
    try:
        if not body.lstrip(b" \t\r\n").startswith(b"["):
            return [bytes(msgspec.json.decode(body, type=msgspec.Raw))]
        values = [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, RecursionError) as error:
        raise Problem(INVALID_JSON, f"The body is not JSON: {error}.") from None
    if len(values) > EVENTS_MAX:
        raise Problem(TOO_LARGE, f"The batch has {len(values)} events; send at most {EVENTS_MAX} in one call.")
    if not values:
        what = "the batch is empty; send at least one event"
        raise Problem(INVALID_REQUEST, what.capitalize() + ".", errors=[FieldError(what, pointer="")])
    return values


def _outcomes(taken: Sequence[Taken], applied: set[tuple[str, str]] | None) -> list[EventOutcome]:
    outcomes = []
    for index, one in enumerate(taken):
        outcome = EventOutcome(index, one.fate, one.id)
        if one.rejected is not None:
            outcome.reason = one.rejected.reason.value
            outcome.pointer = one.rejected.pointer
            outcome.detail = one.rejected.detail
        elif one.fate is Fate.UNKNOWN_TYPE:
            outcome.detail = "/type: no mission takes events of this type. Send one of the learning.* types."
        elif applied is not None and one.event is not None:
            outcome.applied = _key(one.event) in applied
        outcomes.append(outcome)
    return outcomes


def _key(event: Event) -> tuple[str, str]:
    return event.source, event.id


def _wait_seconds(prefer: str | None) -> int | None:
    found = _PREFERRED_WAIT.search(prefer.lower()) if prefer else None
    return min(int(found[1]), WAIT_SECONDS_MAX) if found else None


async def _now_in_body(request: Request) -> datetime | None:
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return None
    return parse_body(ResetRequest, await read_body(request, RESET_BYTES_MAX)).now


def _answer(status: int, body: msgspec.Struct, headers: dict[str, Any] | None = None) -> Response:
    return Response(_encode(body), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")
