"""The calls of operators: missions as drafts, their publication, and what happens to them after it."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mission_events.fields import Instant
from mission_events.missions import MissionType
from services.adapters.http import AdminCaller, answer_schemas, body_schema, json_answer, parse_body, read_body
from services.adapters.ledger.catalogue import Author, definition_of
from services.adapters.problems import INVALID_JSON, Problem, invalid_parameter
from services.adapters.tokens import Caller
from services.missions.definition import Mission
from services.missions.lifecycle import Action, MissionState

from .manage_missions import ManageMissions
from .paging import IDENTIFIER, PAGE_SIZE, Limit, link_to_next
from .views_admin import MissionList, ValidMission, WholeMission, listed, whole

DEFINITION_BYTES_MAX = 64 * 1024
"""A mission with twenty objectives in ten languages has under 20 KiB."""

ACTION_BYTES_MAX = 4096
"""A reason and two times."""

REASON_CHARACTERS_MAX = 500
REASON_PATTERN = r"^[^\x00]*$"
"""A reason is any text that the ledger can store."""


class ActionRequest(BaseModel):
    """Why something is done."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(default=None, max_length=REASON_CHARACTERS_MAX, pattern=REASON_PATTERN)


Asked = TypeVar("Asked", bound=ActionRequest)


class ScheduleRequest(ActionRequest):
    """When a season opens, and the first instant after it."""

    opens_at: Instant
    closes_at: Instant


def _definition_schemas() -> dict[str, Any]:
    """JSON Schemas of a definition and its parts; their names begin alike, so that none meets a schema of an answer."""
    schema = Mission.model_json_schema(ref_template="#/components/schemas/Definition{model}")
    parts = schema.pop("$defs")
    del schema["properties"]["version"]  # counted when it is published
    for texts in ("title", "description"):
        schema["properties"][texts]["additionalProperties"] = False
    return {"Definition": schema, **{f"Definition{name}": part for name, part in parts.items()}}


SCHEMAS = {**answer_schemas(MissionList, WholeMission, ValidMission), **_definition_schemas()}

Reason = Annotated[
    str | None,
    Query(max_length=REASON_CHARACTERS_MAX, pattern=REASON_PATTERN, description="Why; the record of changes keeps it"),
]
After = Annotated[
    str | None,
    Query(
        description="Where the page begins: `next_cursor` of the page before",
        json_schema_extra={"pattern": f"^{IDENTIFIER.pattern}$"},
    ),
]
StateFilter = Annotated[MissionState | None, Query(description="`draft` finds every mission that has a draft")]
TypeFilter = Annotated[MissionType | None, Query(alias="type", description="Missions of this type")]

_DEFINITION = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Definition"}}},
    }
}
_ACTION = body_schema(ActionRequest)
_ACTION["requestBody"]["required"] = False
_encode = msgspec.json.Encoder(order="deterministic").encode


def drafts_router(manage: ManageMissions) -> APIRouter:
    """The routes that change what nobody sees yet."""
    router = APIRouter(tags=["operators"], prefix="/admin/missions")

    @router.post(
        "",
        operation_id="createMission",
        summary="Make the draft of a new mission",
        status_code=201,
        openapi_extra=_DEFINITION,
        responses={
            201: json_answer(WholeMission, "The draft was made"),
            200: json_answer(WholeMission, "This very draft was there already"),
        },
    )
    async def create(request: Request, caller: AdminCaller, reason: Reason = None) -> Response:
        definition = await _definition(request)
        created = await manage.create(definition, Author(caller.subject, reason))
        mission_id = definition["id"]  # it was checked
        headers = {"Location": f"/admin/missions/{mission_id}"} if created else {}
        return _answer(whole(await manage.show(mission_id)), 201 if created else 200, headers)

    @router.post(
        "/validate",
        operation_id="validateMission",
        summary="Check a definition as for a draft, and write nothing",
        openapi_extra=_DEFINITION,
        responses={200: json_answer(ValidMission, "There is nothing to mend")},
    )
    async def validate(request: Request, _caller: AdminCaller) -> Response:
        mission = await manage.validate(await _definition(request))
        return _answer(ValidMission(mission.id, definition_of(mission)))

    @router.put(
        "/{mission_id}/draft",
        operation_id="putMissionDraft",
        summary="Replace a draft, or begin the next version of a published mission",
        openapi_extra=_DEFINITION,
        responses={200: json_answer(WholeMission, "The draft is as given")},
    )
    async def replace(request: Request, caller: AdminCaller, mission_id: str, reason: Reason = None) -> Response:
        await manage.replace_draft(mission_id, await _definition(request), Author(caller.subject, reason))
        return _answer(whole(await manage.show(mission_id)))

    @router.delete(
        "/{mission_id}/draft",
        operation_id="discardMissionDraft",
        summary="Remove a draft; published versions stay",
        status_code=204,
    )
    async def discard(caller: AdminCaller, mission_id: str, reason: Reason = None) -> Response:
        await manage.discard_draft(mission_id, Author(caller.subject, reason))
        return Response(status_code=204)

    @router.post(
        "/{mission_id}/schedule",
        operation_id="scheduleMission",
        summary="Set when the season of a draft opens and closes",
        openapi_extra=body_schema(ScheduleRequest),
        responses={200: json_answer(WholeMission, "The draft has these times")},
    )
    async def schedule(request: Request, caller: AdminCaller, mission_id: str) -> Response:
        asked = parse_body(ScheduleRequest, await read_body(request, ACTION_BYTES_MAX))
        window = {"opens_at": asked.opens_at.isoformat(), "closes_at": asked.closes_at.isoformat()}
        await manage.schedule(mission_id, window, Author(caller.subject, asked.reason))
        return _answer(whole(await manage.show(mission_id)))

    return router


def publishing_router(manage: ManageMissions, clock: Callable[[], datetime]) -> APIRouter:
    """The routes that change what users get, and that show it."""
    router = APIRouter(tags=["operators"], prefix="/admin/missions")

    @router.get(
        "",
        operation_id="findMissions",
        summary="Missions in the order of their ids, drafts too",
        responses={200: json_answer(MissionList, "A page of missions")},
    )
    async def find(
        _caller: AdminCaller,
        state: StateFilter = None,
        mission_type: TypeFilter = None,
        limit: Limit = PAGE_SIZE,
        cursor: After = None,
    ) -> Response:
        if cursor is not None and not IDENTIFIER.fullmatch(cursor):
            raise invalid_parameter("cursor", "is not one of ours: use the `next_cursor` of the page before")
        found = await manage.find(state, mission_type, cursor, limit + 1)
        after = found[limit - 1].mission_id if len(found) > limit else None
        query = {
            "limit": str(limit),
            **({"state": state} if state else {}),
            **({"type": mission_type} if mission_type else {}),
        }
        page = MissionList([listed(mission, clock()) for mission in found[:limit]], after)
        return _answer(page, 200, link_to_next("/admin/missions", query, after))

    @router.get(
        "/{mission_id}",
        operation_id="getMission",
        summary="All versions of a mission, its draft, and what was done to it",
        responses={200: json_answer(WholeMission, "The mission")},
    )
    async def show(_caller: AdminCaller, mission_id: str) -> Response:
        return _answer(whole(await manage.show(mission_id)))

    @router.put(
        "/{mission_id}/versions/{version}",
        operation_id="putMissionVersion",
        summary="Refused: a published version never changes; the answer says how to make the next one",
        responses={409: {"description": "Always, for a version that there is"}},
    )
    async def edit(_caller: AdminCaller, mission_id: str, version: int) -> Response:
        await manage.refuse_edit(mission_id, version)

    @router.post(
        "/{mission_id}/publish",
        operation_id="publishMission",
        summary="Publish the draft as the next version; again, it stays as it is",
        openapi_extra=_ACTION,
        responses={200: json_answer(WholeMission, "The newest version is the draft of before")},
    )
    async def publish(request: Request, caller: AdminCaller, mission_id: str) -> Response:
        await manage.publish(mission_id, clock(), await _author(request, caller))
        return _answer(whole(await manage.show(mission_id)))

    for action, summary in _MOVES.items():
        _add_move(router, manage, action, summary)
    return router


_MOVES = {
    Action.PAUSE: "Issue it to nobody until it is resumed; what was issued goes on",
    Action.RESUME: "Issue a paused mission again",
    Action.END: "Issue it to nobody any more; what was issued goes on to its own end",
}


def _add_move(router: APIRouter, manage: ManageMissions, action: Action, summary: str) -> None:
    @router.post(
        f"/{{mission_id}}/{action}",
        operation_id=f"{action}Mission",
        summary=summary,
        openapi_extra=_ACTION,
        responses={200: json_answer(WholeMission, "It is so, and was perhaps before")},
    )
    async def move(request: Request, caller: AdminCaller, mission_id: str) -> Response:
        await manage.move(mission_id, action, await _author(request, caller))
        return _answer(whole(await manage.show(mission_id)))


async def _definition(request: Request) -> Any:
    body = await read_body(request, DEFINITION_BYTES_MAX)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(INVALID_JSON, f"The body is not JSON: {error}.") from None


async def _author(request: Request, caller: Caller) -> Author:
    """Who does it, and the reason in the body, if there is one."""
    return Author(caller.subject, (await action_of(ActionRequest, request)).reason)


async def action_of(kind: type[Asked], request: Request) -> Asked:
    """The body of an action, which may be left out."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return kind()
    return parse_body(kind, await read_body(request, ACTION_BYTES_MAX))


def _answer(body: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(body), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")
