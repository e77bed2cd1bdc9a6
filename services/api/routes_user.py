"""The calls of app clients: GET /missions, /streak and /rewards."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Response

from mission_events.fields import known_zones
from services.adapters.http import UserCaller, answer_schemas, json_answer
from services.adapters.ledger.records import XpTotals
from services.adapters.ledger.users import RewardTotal
from services.adapters.problems import invalid_parameter, unavailable
from services.missions.levels import level_of
from services.missions.view import MissionView

from .locales import LOCALE_QUERY_PATTERN, preferred_locales
from .paging import PAGE_SIZE, UUID_TEXT, Cursor, Limit, decode_cursor, encode_cursor, link_to_next
from .read_missions import LedgerUnavailable, ReadMissions

TOTAL_NAMES = {"item": "item_id", "badge": "badge_id", "unlock": "content_id"}
"""Where the thing that a total is about stands, by kind of reward; xp and gems are about nothing else."""

_encode = msgspec.json.Encoder().encode


class MissionsAnswer(msgspec.Struct):
    """What is open, claimable, or ended in the last 24 hours."""

    missions: list[MissionView]


class MissionsPage(msgspec.Struct):
    """A page of `?status=all`, newest first; `next_cursor` is null on the last one."""

    missions: list[MissionView]
    next_cursor: str | None


class StreakAnswer(msgspec.Struct):
    """Days in a row, and the local day that they were last told for; the longest streak and the freezes used, ever."""

    days: int
    day: date | None
    longest: int
    freezes_used: int


class GrantView(msgspec.Struct):
    """One grant."""

    grant_id: str
    assignment_id: str
    mission_id: str
    granted_at: datetime
    rewards: list[dict[str, Any]]


class XpView(msgspec.Struct):
    """All XP: earned by learning, and granted by missions."""

    total: int
    earned: int
    granted: int


class LevelView(msgspec.Struct):
    """The level that the total XP comes to, and how much of the XP to the next one is there."""

    level: int
    progress: int
    target: int


class ItemView(msgspec.Struct):
    """So many of an item were granted; what was used since is the inventory's to say."""

    item_id: str
    granted: int


class ProfileView(msgspec.Struct):
    """What the user has grown to. Badges and unlocked content are had or not, however often they were granted."""

    xp: XpView
    level: LevelView
    gems: int
    items: list[ItemView]
    badges: list[str]
    unlocked: list[str]


class RewardsAnswer(msgspec.Struct):
    """A page of grants, newest first, the totals over all of them, and the profile that they and the XP have led to."""

    grants: list[GrantView]
    totals: list[dict[str, Any]]
    next_cursor: str | None
    profile: ProfileView


SCHEMAS = answer_schemas(MissionsAnswer, MissionsPage, StreakAnswer, RewardsAnswer)

Locale = Annotated[
    str | None,
    Query(
        description="Language of titles, such as pt-BR; goes before Accept-Language",
        json_schema_extra={"pattern": LOCALE_QUERY_PATTERN},
    ),
]
AcceptLanguage = Annotated[str | None, Header(description="Languages of titles, best first")]
IfNoneMatch = Annotated[str | None, Header(description="The ETag of the answer that the caller has")]
Timezone = Annotated[
    str | None,
    Query(
        description="IANA name; used while the user's time zone is not known",
        json_schema_extra={"enum": sorted(known_zones())},
    ),
]
Status = Annotated[Literal["all"] | None, Query(description="`all` pages through everything the user ever had")]


def missions_router(read: ReadMissions, clock: Callable[[], datetime]) -> APIRouter:
    """What the user has to do, and had."""
    router = APIRouter(tags=["missions"])

    @router.get(
        "/missions",
        operation_id="listMissions",
        summary="The user's missions; today's are issued if they are not there yet",
        responses={
            200: json_answer(MissionsAnswer, "With `status=all` a MissionsPage"),
            304: {"description": "As you have it"},
        },
    )
    async def missions(
        caller: UserCaller,
        status: Status = None,
        limit: Limit = PAGE_SIZE,
        cursor: Cursor = None,
        timezone: Timezone = None,
        locale: Locale = None,
        accept_language: AcceptLanguage = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        if timezone is not None and timezone not in known_zones():
            raise invalid_parameter("timezone", f"{timezone!r} is no IANA time zone; send a name such as Europe/Berlin")
        locales = preferred_locales(locale, accept_language)
        headers = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept-Language"}
        try:
            if status is None:
                shown = await read.current(caller.subject, clock(), locales, timezone)
                body = _encode(MissionsAnswer(shown))
            else:
                page = await read.past(caller.subject, clock(), locales, decode_cursor(cursor), limit)
                next_cursor = encode_cursor(page.after) if page.after else None
                body = _encode(MissionsPage(page.missions, next_cursor))
                query = {"status": "all", "limit": str(limit), **({"locale": locale} if locale else {})}
                headers |= link_to_next("/missions", query, next_cursor)
        except LedgerUnavailable:
            raise unavailable("The ledger") from None
        return _tagged(body, headers, if_none_match)

    return router


def gains_router(read: ReadMissions) -> APIRouter:
    """What the user has got."""
    router = APIRouter(tags=["missions"])

    @router.get(
        "/streak",
        operation_id="getStreak",
        summary="The current streak",
        responses={200: json_answer(StreakAnswer, "The streak as it was last told")},
    )
    async def streak(caller: UserCaller) -> Response:
        try:
            found = await read.streak(caller.subject)
        except LedgerUnavailable:
            raise unavailable("The ledger") from None
        return _plain(_encode(StreakAnswer(found.days, found.day, found.longest, found.freezes_used)))

    @router.get(
        "/rewards",
        operation_id="listRewards",
        summary="What the user was granted, newest first, the totals, and the profile's growth",
        responses={200: json_answer(RewardsAnswer, "A page of grants, the totals over all, and the profile")},
    )
    async def rewards(caller: UserCaller, limit: Limit = PAGE_SIZE, cursor: Cursor = None) -> Response:
        try:
            grants, after = await read.grants(caller.subject, decode_cursor(cursor, UUID_TEXT), limit)
            totals, xp = await read.gains(caller.subject)
        except LedgerUnavailable:
            raise unavailable("The ledger") from None
        views = [
            GrantView(g.grant_id, g.assignment_id, g.mission_id, g.granted_at, msgspec.json.decode(g.rewards))
            for g in grants
        ]
        next_cursor = encode_cursor(after) if after else None
        answer = RewardsAnswer(views, [_total(total) for total in totals], next_cursor, _profile(totals, xp))
        return _plain(_encode(answer), link_to_next("/rewards", {"limit": str(limit)}, next_cursor))

    return router


def _total(total: RewardTotal) -> dict[str, Any]:
    named = {TOTAL_NAMES[total.kind]: total.what} if total.kind in TOTAL_NAMES else {}
    return {"kind": total.kind, **named, "amount": total.amount}


def _profile(totals: Sequence[RewardTotal], xp: XpTotals) -> ProfileView:
    def things(kind: str) -> list[RewardTotal]:
        return [total for total in totals if total.kind == kind]

    return ProfileView(
        xp=XpView(xp.total, xp.earned, xp.granted),
        level=LevelView(*level_of(xp.total)),
        gems=sum(total.amount for total in things("gems")),
        items=[ItemView(total.what or "", total.amount) for total in things("item")],
        badges=[total.what or "" for total in things("badge")],
        unlocked=[total.what or "" for total in things("unlock")],
    )


def _plain(body: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(
        body, headers={"Cache-Control": "private, no-cache", **(headers or {})}, media_type="application/json"
    )


def _tagged(body: bytes, headers: dict[str, str], if_none_match: str | None) -> Response:
    """The answer with its ETag; without its body when the caller has it already."""
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers["ETag"] = etag
    if if_none_match is not None:
        known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
        if etag in known or "*" in known:
            return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
