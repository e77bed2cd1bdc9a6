"""Every refusal of the HTTP roles as an RFC 9457 problem: a stable type, and a detail that says how to mend it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, compile_path

from services.adapters.logs import get_logger

MEDIA_TYPE = "application/problem+json"

ERRORS_MAX = 20
"""Validation errors listed in one answer; whoever has more mends these first."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem. Its URI is `/problems/<name>` and never changes; the page there says what it means."""

    name: str
    status: int
    title: str
    meaning: str

    @property
    def uri(self) -> str:
        """The `type` member."""
        return f"/problems/{self.name}"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong place of a request: a JSON pointer into the body, or the name of a query parameter or header."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Problem(Exception):
    """A refusal. Raise it anywhere in a request; the answer is made of it."""

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        instance: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.instance = instance

    def body(self) -> bytes:
        """The problem document."""
        document: dict[str, object] = {
            "type": self.kind.uri,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        if self.instance:
            document["instance"] = self.instance
        if self.errors:
            document["errors"] = [
                {
                    name: value
                    for name, value in (("pointer", e.pointer), ("parameter", e.parameter), ("detail", e.detail))
                    if value is not None
                }
                for e in self.errors[:ERRORS_MAX]
            ]
        return msgspec.json.encode(document)

    def response(self) -> Response:
        """The answer."""
        return Response(self.body(), self.kind.status, {"Cache-Control": "no-store", **self.headers}, MEDIA_TYPE)


INVALID_JSON = ProblemType("invalid-json", 400, "The body is not JSON", "Send one JSON text in UTF-8.")
BAD_REQUEST = ProblemType("bad-request", 400, "The request can't be read", "The detail says which part is wrong.")
MISSING_TOKEN = ProblemType(
    "missing-token", 401, "A token is needed", "Send `Authorization: Bearer <token>` with a token of your own."
)
INVALID_TOKEN = ProblemType(
    "invalid-token",
    401,
    "The token is not valid",
    "It has expired, was issued by or for somebody else, or its signature is wrong. Get a new one.",
)
WRONG_TOKEN_KIND = ProblemType(
    "wrong-token-kind",
    403,
    "The token is for other calls",
    "App clients call with user tokens, upstream services with service tokens, and operators with admin tokens.",
)
NOT_FOUND = ProblemType("not-found", 404, "Nothing is here", "The path, or what it names, does not exist.")
ASSIGNMENT_NOT_FOUND = ProblemType(
    "assignment-not-found",
    404,
    "You have no such assignment",
    "`GET /missions` lists yours. Assignments of other users look as if they did not exist.",
)
MISSION_NOT_FOUND = ProblemType(
    "mission-not-found", 404, "There is no such mission", "`GET /admin/missions` lists all of them, drafts too."
)
DEAD_LETTER_NOT_FOUND = ProblemType(
    "dead-letter-not-found", 404, "There is no such dead letter", "`GET /admin/dead-letters` lists all of them."
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed", 405, "The path has other methods", "The `Allow` header lists them."
)
REQUEST_TIMEOUT = ProblemType(
    "request-timeout", 408, "The request came too slowly", "The detail says how long it may take. Send it again."
)
NOT_COMPLETED = ProblemType(
    "not-completed",
    409,
    "The mission is not completed",
    "Its reward can be claimed once its status is COMPLETED.",
)
VERSION_PUBLISHED = ProblemType(
    "version-published",
    409,
    "A published version never changes",
    "Make a draft with `PUT /admin/missions/{mission_id}/draft`; publishing it gives a new version, and assignments keep theirs.",
)
MISSION_STATE = ProblemType(
    "mission-state",
    409,
    "The mission is in another state",
    "`GET /admin/missions/{mission_id}` shows its states; the detail says which step is possible.",
)
DEAD_LETTER_KEPT = ProblemType(
    "dead-letter-kept",
    409,
    "The record can't be published again",
    "The detail says why. With the timestamp `now` it is judged as if it came now; DELETE forgets it.",
)
CLAIM_EXPIRED = ProblemType(
    "claim-expired", 410, "It is too late to claim", "The reward could be claimed until `claimable_until`."
)
TOO_LARGE = ProblemType("too-large", 413, "The body is too large", "The detail says how much is allowed.")
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type", 415, "The body is of another media type", "Send JSON and say so in `Content-Type`."
)
INVALID_REQUEST = ProblemType(
    "invalid-request", 422, "The request is not valid", "`errors` lists each wrong place with what is expected there."
)
IDEMPOTENCY_KEY_REUSED = ProblemType(
    "idempotency-key-reused",
    422,
    "The Idempotency-Key was used for another request",
    "Use a new key for each new request, and the same key only to repeat one.",
)
TOO_MANY_REQUESTS = ProblemType(
    "too-many-requests", 429, "Too many calls", "Wait as many seconds as `Retry-After` says; nothing was done."
)
HEAD_TOO_LARGE = ProblemType(
    "head-too-large", 431, "The request line and headers are too large", "The detail says how much is allowed."
)
INTERNAL_ERROR = ProblemType(
    "internal-error", 500, "Something is wrong on our side", "It was logged under the `instance` of the answer."
)
BAD_GATEWAY = ProblemType(
    "bad-gateway",
    502,
    "A server behind this one gave no usable answer",
    "Try again: every call may be repeated without a second effect.",
)
UNAVAILABLE = ProblemType(
    "unavailable",
    503,
    "A server behind this one can't be reached",
    "Try again after `Retry-After` seconds: every call may be repeated without a second effect.",
)
GATEWAY_TIMEOUT = ProblemType(
    "gateway-timeout",
    504,
    "A server behind this one took too long",
    "Try again: every call may be repeated without a second effect.",
)

ALL = tuple(value for value in list(globals().values()) if isinstance(value, ProblemType))
_BY_NAME = {kind.name: kind for kind in ALL}
_BY_STATUS = {kind.status: kind for kind in (*ALL, BAD_REQUEST, NOT_FOUND, INVALID_REQUEST)}

RETRY_AFTER_SECONDS = 2
"""When to try again after a 503: about what a server's restart takes, so that clients do not queue up meanwhile."""


def unavailable(what: str) -> Problem:
    """A 503 for a server that can't answer now."""
    return Problem(
        UNAVAILABLE,
        f"{what} can't be reached now. Try again in {RETRY_AFTER_SECONDS} seconds.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def invalid_parameter(name: str, detail: str) -> Problem:
    """A 422 for one query parameter or header."""
    return Problem(INVALID_REQUEST, f"{name}: {detail}", errors=[FieldError(detail, parameter=name)])


def internal_error(error: Exception, method: str, path: str) -> Problem:
    """A 500 for an error that nobody foresaw. The log gets the stack trace, the caller an id to quote."""
    instance = f"urn:uuid:{uuid.uuid4()}"
    _log.error("request_failed", instance=instance, method=method, path=path, exc_info=error)
    detail = f"The request failed and was logged as {instance}. Try again; if it persists, quote that id."
    return Problem(INTERNAL_ERROR, detail, instance=instance)


def pointer_of(location: Sequence[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a path of field names and list positions."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _allowed(request: Request) -> str:
    """The methods that the path takes. The framework itself names those of one route, and a path may have several.

    A path that is written out is not the one with a parameter that it would fit too: `POST /missions/validate` and
    `GET /missions/{mission_id}` are two paths, as OpenAPI 3.1 has it ("Path Templating Matching").
    """
    routes = request.app.routes
    scopes = {method: {**request.scope, "method": method} for method in HTTPMethod}
    taken = [
        method for method, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)
    ]
    described = request.app.openapi()["paths"]
    fitting = [path for path in described if compile_path(path)[0].match(request.url.path)]
    if fitting:
        here = described[min(fitting, key=lambda path: path.count("{"))]
        taken = [method for method in taken if method.lower() in here]
    return ", ".join(taken)


def install_problems(app: FastAPI) -> None:
    """Makes every refusal of `app` a problem, and serves what each type means at its URI."""

    @app.exception_handler(Problem)
    async def refused(_request: Request, problem: Problem) -> Response:
        return problem.response()

    @app.exception_handler(HTTPException)
    async def framework_refused(request: Request, error: HTTPException) -> Response:
        kind = _BY_STATUS.get(error.status_code)
        if kind is None:
            title = HTTPStatus(error.status_code).phrase
            kind = ProblemType(title.lower().replace(" ", "-"), error.status_code, title, "")
        details = {
            404: f"There is nothing at {request.url.path}. /openapi.json lists all calls.",
            405: f"{request.url.path} does not take {request.method}. Use one of the methods in `Allow`.",
        }
        headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
        return Problem(kind, details.get(error.status_code, str(error.detail)), headers=headers).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        errors = [
            FieldError(item["msg"], parameter=str(item["loc"][-1]))
            if item["loc"][0] != "body"
            else FieldError(item["msg"], pointer=pointer_of(item["loc"][1:]))
            for item in error.errors()
        ]
        first = errors[0]
        return Problem(INVALID_REQUEST, f"{first.parameter or first.pointer}: {first.detail}", errors=errors).response()

    @app.get("/problems/{name}", include_in_schema=False)
    async def explain(name: str) -> Response:
        kind = _BY_NAME.get(name)
        if kind is None:
            raise Problem(NOT_FOUND, f"There is no problem type {name!r}.")
        return Response(f"{kind.title} ({kind.status})\n\n{kind.meaning}\n", media_type="text/plain")
