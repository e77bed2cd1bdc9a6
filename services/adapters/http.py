"""What the HTTP roles share: an app whose errors are problems, who the caller is, and bodies within limits."""

from collections.abc import Mapping
from time import perf_counter
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.openapi.models import HTTPBearer as BearerScheme
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.adapters.http_connection import HEAD_BYTES_MAX, HEADERS_MAX
from services.adapters.metrics import HTTP_REQUESTS, HTTP_SECONDS
from services.adapters.problems import (
    HEAD_TOO_LARGE,
    INVALID_JSON,
    INVALID_REQUEST,
    INVALID_TOKEN,
    MEDIA_TYPE,
    MISSING_TOKEN,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    WRONG_TOKEN_KIND,
    FieldError,
    Problem,
    ProblemType,
    install_problems,
    internal_error,
    pointer_of,
    unavailable,
)
from services.adapters.rate_limits import RateLimits, RouteClass, network_of
from services.adapters.token_keys import KeysUnavailable
from services.adapters.tokens import Caller, TokenError, TokenKind, TokenVerifier

TOKEN_CHARACTERS_MAX = 4096
"""Our tokens have about 400; what is much longer is not worth decoding."""

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
"""Methods that metrics name; a client can invent others."""

CLIENT_CLOSED_REQUEST = 499
"""The status that metrics give to a request whose caller went away before it was read; nobody sees an answer."""

JSON_MEDIA_TYPES = frozenset({"application/json"})

M = TypeVar("M", bound=BaseModel)

_SCHEMA_AT = "#/components/schemas/{name}"
_TEXT = {"type": "string"}
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {**_TEXT, "format": "uri-reference", "description": "Stable; a page there says what it means"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": {**_TEXT, "description": "What is wrong here, and how to mend it"},
        "instance": {**_TEXT, "format": "uri-reference"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {"pointer": _TEXT, "parameter": _TEXT, "detail": _TEXT},
            },
        },
    },
}


class BearerToken(SecurityBase):
    """A dependency that gives the caller, and refuses with 401 without a valid token, with 403 for a token of another kind."""

    def __init__(self, kind: TokenKind) -> None:
        self._kind = kind
        self.scheme_name = f"{kind}Token"
        self.model = BearerScheme(
            bearerFormat="JWT",
            description=f"A JWT whose `scope` names `{kind.scope}` and whose `sub` is the {kind}'s id",
        )

    async def __call__(self, request: Request) -> Caller:
        """The verified caller."""
        limits: RateLimits | None = request.app.state.limits
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized(
                MISSING_TOKEN, f"This call needs a {self._kind} token: send Authorization: Bearer <token>."
            )
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise _unauthorized(INVALID_TOKEN, f"The token is longer than {TOKEN_CHARACTERS_MAX} characters.")
        verifier: TokenVerifier = request.app.state.verifier
        caller = verifier.remembered(token)
        if caller is None:
            if limits is not None:
                limits.refuse_blocked(RouteClass.STRANGERS, address_of(request.scope))
            try:
                caller = await verifier.verify(token)
            except TokenError as error:
                raise _unauthorized(INVALID_TOKEN, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
            except KeysUnavailable:
                raise unavailable("The identity provider, whose keys verify tokens,") from None
        request.state.caller = caller
        if limits is not None:
            await limits.admit(_class_of(caller, request.method), caller.subject)
        if caller.kind is not self._kind:
            challenge = f'Bearer realm="missions", error="insufficient_scope", scope="{self._kind.scope}"'
            raise Problem(
                WRONG_TOKEN_KIND,
                f"This call needs a {self._kind} token and got a {caller.kind} token.",
                headers={"WWW-Authenticate": challenge},
            )
        return caller


UserCaller = Annotated[Caller, Depends(BearerToken(TokenKind.USER))]
ServiceCaller = Annotated[Caller, Depends(BearerToken(TokenKind.SERVICE))]
AdminCaller = Annotated[Caller, Depends(BearerToken(TokenKind.ADMIN))]


def _class_of(caller: Caller, method: str) -> RouteClass:
    match caller.kind:
        case TokenKind.SERVICE:
            return RouteClass.SERVICES
        case TokenKind.ADMIN:
            return RouteClass.OPERATORS
        case TokenKind.USER:
            return RouteClass.READS if method in ("GET", "HEAD") else RouteClass.CLAIMS


def address_of(scope: Scope) -> str:
    """Whom a call comes from: the connection's other end, or what a trusted proxy says."""
    client = scope.get("client")
    return network_of(client[0]) if client else "unknown"


def _unauthorized(kind: ProblemType, detail: str) -> Problem:
    safe = (c if " " <= c <= "~" and c not in '"\\' else "'" for c in detail)  # a header is no place for anything else
    description = "".join(safe)
    challenge = f'Bearer realm="missions", error="invalid_token", error_description="{description}"'
    return Problem(kind, detail, headers={"WWW-Authenticate": challenge})


def create_http_app(
    title: str,
    description: str,
    verifier: TokenVerifier,
    version: str,
    schemas: Mapping[str, Any] | None = None,
    limits: RateLimits | None = None,
) -> FastAPI:
    """An app without routes: its errors are problems, its requests are measured, /openapi.json describes it.

    `schemas` are JSON Schemas by name that routes refer to with `json_answer`.
    """
    app = FastAPI(
        title=title,
        description=description,
        version=version,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        responses={
            "default": {
                "description": "A problem (RFC 9457)",
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
        },
        redirect_slashes=False,
    )
    app.state.verifier = verifier
    app.state.limits = limits
    install_problems(app)
    if limits is not None:
        app.add_middleware(_Strangers, limits=limits)
    app.add_middleware(_Guard)
    _describe(app, schemas or {})
    return app


class _Guard:
    """Measures every request, and turns an error that nobody foresaw into a problem without a stack trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            refused = _head_problem(scope)
            if refused is None:
                await self._app(scope, receive, watched)
            else:
                await refused.response()(scope, receive, watched)
        except ClientDisconnect:
            status = CLIENT_CLOSED_REQUEST
        except Exception as error:
            problem = internal_error(error, scope["method"], scope["path"])
            if status:
                raise  # half an answer is out: only closing the connection tells the caller
            await problem.response()(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in METHODS else "other"
            HTTP_REQUESTS.labels(route, method, str(status)).inc()
            HTTP_SECONDS.labels(route, method).observe(perf_counter() - began)


def _head_problem(scope: Scope) -> Problem | None:
    headers = scope["headers"]
    size = len(scope.get("raw_path", b"")) + len(scope["query_string"]) + sum(len(n) + len(v) for n, v in headers)
    if len(headers) <= HEADERS_MAX and size <= HEAD_BYTES_MAX:
        return None
    limits = f"{HEADERS_MAX} headers and {HEAD_BYTES_MAX} bytes of path, query and headers"
    return Problem(
        HEAD_TOO_LARGE, f"The request has {len(headers)} headers and {size} bytes of them; send at most {limits}."
    )


class _Strangers:
    """Counts calls that nobody's token stands behind, by address, and refuses them when there are too many.

    Others behind the same address go on as long as their tokens were seen before.
    """

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not any(name == b"authorization" for name, _ in scope["headers"]):
            try:
                self._limits.refuse_blocked(RouteClass.STRANGERS, address_of(scope))
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
        state = scope.setdefault("state", {})
        try:
            await self._app(scope, receive, send)
        finally:
            if "caller" not in state:
                await self._limits.count(RouteClass.STRANGERS, address_of(scope))


async def read_body(request: Request, limit: int, media_types: frozenset[str] = JSON_MEDIA_TYPES) -> bytes:
    """The body, of at most `limit` bytes and one of the media types. Raises a 413 or 415 problem.

    A body over the limit is refused by its declared length, or as soon as it grows past the limit.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in media_types:
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type is {media_type or 'missing'}; send {' or '.join(sorted(media_types))}.",
            headers={"Accept": ", ".join(sorted(media_types))},
        )
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > limit:
            raise _too_large(limit)
    return bytes(chunks)


def parse_body(model: type[M], body: bytes) -> M:
    """The body as a model. Raises a 400 problem when it is no JSON, a 422 with a pointer to each wrong place when it does not fit."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise Problem(
                INVALID_JSON, f"The body is not JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}."
            ) from None
        found = [FieldError(item["msg"], pointer=pointer_of(item["loc"])) for item in errors]
        where = found[0].pointer or "the body"
        raise Problem(INVALID_REQUEST, f"{where}: {found[0].detail}.", errors=found) from None


def body_schema(model: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself."""
    content = {media_type: {"schema": model.model_json_schema()} for media_type in media_types or ("application/json",)}
    return {"requestBody": {"required": True, "content": content}}


def answer_schemas(*answers: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON Schemas of answers that routes encode themselves, for `create_http_app`."""
    return msgspec.json.schema_components(answers, ref_template=_SCHEMA_AT)[1]


def json_answer(answer: type[msgspec.Struct], description: str) -> dict[str, Any]:
    """One entry of a route's `responses`, for an answer whose schema the app was given."""
    schema = {"$ref": _SCHEMA_AT.format(name=answer.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _too_large(limit: int) -> Problem:
    return Problem(
        TOO_LARGE, f"The body has more than {limit} bytes, which is the limit of this call. Send less at once."
    )


def _present(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without null: one that is there is text, and one that is not there needs no schema."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {**{key: value for key, value in schema.items() if key != "anyOf"}, **choices[0]}


def _describe(app: FastAPI, more: Mapping[str, Any]) -> None:
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(more)
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = _PROBLEM_SCHEMA
        for path in document.get("paths", {}).values():
            for operation in path.values():
                operation.get("responses", {}).pop("422", None)
                for parameter in operation.get("parameters", []):
                    parameter["schema"] = _present(parameter["schema"])
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend the document
