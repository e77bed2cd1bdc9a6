"""What every caller may rely on when a call is refused, whichever role and route it is."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Query, Request
from pydantic import BaseModel

from services.adapters.http import UserCaller, body_schema, create_http_app, parse_body, read_body
from services.adapters.problems import ALL, NOT_COMPLETED, Problem
from services.adapters.tokens import TokenKind, TokenSettings, TokenVerifier, mint

LIMIT = 1000


class Order(BaseModel):
    name: str
    sizes: list[int] = []


@pytest.fixture
def settings(tmp_path: Path) -> TokenSettings:
    return TokenSettings(environment="development", development_key_file=tmp_path / "key.pem")


@pytest.fixture
def app(settings: TokenSettings) -> FastAPI:
    app = create_http_app("Test", "A test", TokenVerifier.from_settings(settings), "1")

    @app.get("/mine")
    async def mine(caller: UserCaller, limit: Annotated[int, Query(ge=1, le=10)] = 1) -> dict[str, Any]:
        return {"user": caller.subject, "limit": limit}

    @app.post("/orders", openapi_extra=body_schema(Order))
    async def order(request: Request) -> Order:
        return parse_body(Order, await read_body(request, LIMIT))

    @app.get("/refuse")
    async def refuse() -> None:
        raise Problem(NOT_COMPLETED, "Not yet.")

    @app.get("/break")
    async def broken() -> None:
        raise RuntimeError("the password is hunter2")

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """Checks that a response is the problem of this name, and gives its document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] == f"/problems/{name}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


async def test_refusals_are_problem_documents(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/refuse"), 409, "not-completed")["detail"] == "Not yet."
    problem(await client.get("/nowhere"), 404, "not-found")
    wrong_method = await client.delete("/orders")
    problem(wrong_method, 405, "method-not-allowed")
    assert wrong_method.headers["allow"] == "POST"


async def test_a_wrong_method_is_told_every_method_of_the_path(app: FastAPI, client: httpx.AsyncClient) -> None:
    router = APIRouter()

    @router.get("/letters/{number}")
    async def show(number: int) -> int:
        return number

    @router.delete("/letters/{number}")
    async def remove(number: int) -> int:
        return number

    app.include_router(router, prefix="/admin")
    answer = await client.options("/admin/letters/1")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "DELETE, GET"


async def test_a_wrong_method_is_not_told_methods_of_a_path_with_a_parameter_in_its_place(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    router = APIRouter()

    @router.post("/letters/check")
    async def check() -> None: ...

    @router.get("/letters/{name}")
    async def show(name: str) -> str:
        return name

    app.include_router(router, prefix="/admin")
    assert (await client.options("/admin/letters/check")).headers["allow"] == "POST"
    assert (await client.options("/admin/letters/other")).headers["allow"] == "GET"


async def test_an_unforeseen_error_shows_an_id_and_nothing_else(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = await client.get("/break")
    document = problem(response, 500, "internal-error")
    assert "hunter2" not in response.text
    assert "Traceback" not in response.text
    assert document["instance"].startswith("urn:uuid:")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, "missing-token"),
        ("", "missing-token"),
        ("Bearer", "missing-token"),
        ("Basic dXNlcjpwYXNz", "missing-token"),
        ("Bearer nonsense", "invalid-token"),
        ('Bearer "quoted\\"', "invalid-token"),
        ("Bearer " + "x" * 5000, "invalid-token"),
    ],
)
async def test_without_a_good_token_the_answer_is_a_challenge(
    client: httpx.AsyncClient, header: str | None, name: str
) -> None:
    response = await client.get("/mine", headers={} if header is None else {"Authorization": header})
    problem(response, 401, name)
    assert response.headers["www-authenticate"].startswith('Bearer realm="missions", error="invalid_token"')


async def test_a_token_of_another_kind_is_told_the_scope_it_lacks(
    client: httpx.AsyncClient, settings: TokenSettings
) -> None:
    token = mint(settings, None, TokenKind.SERVICE, timedelta(hours=1))
    response = await client.get("/mine", headers={"Authorization": f"Bearer {token}"})
    problem(response, 403, "wrong-token-kind")
    assert 'scope="missions:user"' in response.headers["www-authenticate"]


async def test_the_scheme_is_case_insensitive(client: httpx.AsyncClient, settings: TokenSettings) -> None:
    token = mint(settings, "user-1", TokenKind.USER, timedelta(hours=1))
    response = await client.get("/mine", headers={"Authorization": f"bearer  {token}"})
    assert response.json() == {"user": "user-1", "limit": 1}


async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient, settings: TokenSettings) -> None:
    token = mint(settings, "user-1", TokenKind.USER, timedelta(hours=1))
    response = await client.get("/mine?limit=11", headers={"Authorization": f"Bearer {token}"})
    document = problem(response, 422, "invalid-request")
    assert document["errors"][0]["parameter"] == "limit"
    assert "10" in document["errors"][0]["detail"]


async def test_wrong_fields_are_pointed_at(client: httpx.AsyncClient) -> None:
    response = await client.post("/orders", json={"sizes": [1, "two", 3, {}]})
    document = problem(response, 422, "invalid-request")
    assert [error["pointer"] for error in document["errors"]] == ["/name", "/sizes/1", "/sizes/3"]
    assert "/name" in document["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"name": "\xff"}'])
async def test_a_body_that_is_no_json_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/orders", content=body, headers={"Content-Type": "application/json"})
    problem(response, 400, "invalid-json")


async def test_a_body_of_another_kind_is_a_415(client: httpx.AsyncClient) -> None:
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": ""}, {}):
        response = await client.post("/orders", content=b"{}", headers=headers)
        document = problem(response, 415, "unsupported-media-type")
        assert "application/json" in document["detail"]
    response = await client.post(
        "/orders", content=b'{"name":"x"}', headers={"Content-Type": "Application/JSON; charset=utf-8"}
    )
    assert response.status_code == 200


async def test_a_body_over_the_limit_is_a_413_whether_or_not_it_says_its_length(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 100

    json_type = {"Content-Type": "application/json"}
    for content in (b" " * (LIMIT + 1), endless()):
        document = problem(await client.post("/orders", content=content, headers=json_type), 413, "too-large")
        assert str(LIMIT) in document["detail"]
    exactly = b'{"name":"x"}'.ljust(LIMIT)
    assert (await client.post("/orders", content=exactly, headers=json_type)).status_code == 200


async def test_each_problem_type_says_at_its_uri_what_it_means(client: httpx.AsyncClient) -> None:
    for kind in ALL:
        page = await client.get(kind.uri)
        assert page.status_code == 200
        assert kind.title in page.text
        assert kind.meaning in page.text
    problem(await client.get("/problems/unheard-of"), 404, "not-found")


def test_problem_types_are_told_apart_by_name() -> None:
    assert len({kind.name for kind in ALL}) == len(ALL)


async def test_the_openapi_document_describes_problems_tokens_and_bodies(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    mine = document["paths"]["/mine"]["get"]
    assert mine["security"] == [{"userToken": []}]
    assert document["components"]["securitySchemes"]["userToken"]["scheme"] == "bearer"
    assert mine["responses"]["default"]["content"]["application/problem+json"]
    assert "422" not in mine["responses"]
    order = document["paths"]["/orders"]["post"]
    assert order["requestBody"]["content"]["application/json"]["schema"]["required"] == ["name"]
    assert {"type", "title", "status", "detail"} == set(document["components"]["schemas"]["Problem"]["required"])
    references = [part.split('"')[0] for part in json.dumps(document).split('"#/components/schemas/')[1:]]
    assert set(references) <= set(document["components"]["schemas"])
