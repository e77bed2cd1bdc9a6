"""Every route of the HTTP roles, who may call it, and a call of it that has its full effect. A new route needs a line here."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.adapters.tokens import TokenKind
from tests.support.admin import draft_of

USER, SERVICE, ADMIN = TokenKind.USER, TokenKind.SERVICE, TokenKind.ADMIN

DRAFT, LIVE = "matrix-draft", "matrix-live"
"""A mission that is a draft, and one that is published, in the ledger that these calls are made for."""

LETTERS = "matrix-letters"
"""A topic whose first record is a dead letter in that ledger."""

COMPLETED = "$completed"
"""Stands for the id of an assignment that the caller has completed."""


@dataclass(frozen=True)
class Line:
    """Whose token a route takes (None: nobody needs one), and what a good call of it sends and gets."""

    kind: TokenKind | None
    status: int = 200
    body: Any = None
    path: dict[str, str] = field(default_factory=dict)
    """Values of the path's parameters; DRAFT is the mission unless said otherwise."""


def _event() -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "matrix-1",
        "source": "test",
        "type": "learning.xp-earned.v1",
        "subject": "ada",
        "time": datetime.now(UTC).isoformat(),
        "data": {"amount": 20, "xp_source": "lesson"},
    }


LIVE_PATH = {"mission_id": LIVE}
LETTER = {"topic": LETTERS, "partition": "0", "offset": "0"}
SEASON = {"opens_at": "2027-01-01T00:00:00Z", "closes_at": "2027-02-01T00:00:00Z"}

ROUTES: dict[tuple[str, str], Line] = {
    ("GET", "/missions"): Line(USER),
    ("GET", "/streak"): Line(USER),
    ("GET", "/rewards"): Line(USER),
    ("GET", "/questions/next"): Line(USER),
    ("POST", "/missions/claim"): Line(USER, body={"assignment_id": COMPLETED}),
    ("POST", "/missions/progress"): Line(SERVICE, 202, _event()),
    ("POST", "/missions/resetDaily"): Line(SERVICE),
    ("POST", "/missions/resetWeekly"): Line(SERVICE),
    ("GET", "/admin/missions"): Line(ADMIN),
    ("POST", "/admin/missions"): Line(ADMIN, 201, draft_of("matrix-new")),
    ("POST", "/admin/missions/validate"): Line(ADMIN, body=draft_of("matrix-new")),
    ("GET", "/admin/missions/{mission_id}"): Line(ADMIN),
    ("PUT", "/admin/missions/{mission_id}/draft"): Line(ADMIN, body=draft_of(DRAFT, title={"en": "Other"})),
    ("DELETE", "/admin/missions/{mission_id}/draft"): Line(ADMIN, 204),
    ("POST", "/admin/missions/{mission_id}/schedule"): Line(ADMIN, body=SEASON),
    ("POST", "/admin/missions/{mission_id}/publish"): Line(ADMIN),
    ("POST", "/admin/missions/{mission_id}/pause"): Line(ADMIN, path=LIVE_PATH),
    ("POST", "/admin/missions/{mission_id}/resume"): Line(ADMIN, path=LIVE_PATH),
    ("POST", "/admin/missions/{mission_id}/end"): Line(ADMIN, path=LIVE_PATH),
    ("PUT", "/admin/missions/{mission_id}/versions/{version}"): Line(ADMIN, 409, path={**LIVE_PATH, "version": "1"}),
    ("GET", "/admin/dead-letters"): Line(ADMIN),
    ("GET", "/admin/dead-letters/{topic}/{partition}/{offset}"): Line(ADMIN, path=LETTER),
    ("DELETE", "/admin/dead-letters/{topic}/{partition}/{offset}"): Line(ADMIN, 204, path=LETTER),
    ("POST", "/admin/dead-letters/{topic}/{partition}/{offset}/replay"): Line(ADMIN, path=LETTER),
    ("GET", "/problems/{name}"): Line(None, path={"name": "not-found"}),
    ("GET", "/openapi.json"): Line(None),
}

CLAIMS_ROUTES = {("POST", "/missions/claim"), ("GET", "/problems/{name}"), ("GET", "/openapi.json")}
"""Those that the claims role has itself; the api role has all."""


def url_of(path: str, line: Line) -> str:
    """The path with its parameters filled in."""
    return path.format(**{"mission_id": DRAFT, **line.path})
