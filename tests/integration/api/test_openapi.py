"""The documents at /openapi.json: whole, and naming every call, token and refusal."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from services.api.app import Parts, create_app
from services.api.forward_claims import ClaimsClient
from services.claims.app import create_app as create_claims_app
from services.claims.claim_reward import ClaimReward


@pytest.fixture
def documents(parts: Parts, claim_reward: ClaimReward) -> list[dict[str, Any]]:
    """Of the api role with forwarding, and of the claims role."""
    apps: list[FastAPI] = [
        create_app(replace(parts, claims=ClaimsClient("http://127.0.0.1:9"))),
        create_claims_app(claim_reward, parts.verifier),
    ]
    return [app.openapi() for app in apps]


def references(node: object) -> Iterator[str]:
    """Every `$ref` of a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


async def test_every_reference_leads_somewhere(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        schemas = document["components"]["schemas"]
        found = set(references(document))
        assert found
        assert {name for name in found if name.removeprefix("#/components/schemas/") not in schemas} == set()


async def test_every_call_has_a_name_a_token_and_refusals(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        assert document["openapi"].startswith("3.1")
        names = [operation["operationId"] for operation in operations(document)]
        assert len(names) == len(set(names))
        for operation in operations(document):
            assert operation["summary"]
            [security] = operation["security"]
            assert set(security) <= set(document["components"]["securitySchemes"])
            assert "application/problem+json" in operation["responses"]["default"]["content"]


async def test_missions_are_described_field_by_field(documents: list[dict[str, Any]]) -> None:
    view = documents[0]["components"]["schemas"]["MissionView"]
    assert {"assignment_id", "status", "progress", "target", "objectives", "rewards"} <= set(view["properties"])
    listed = documents[0]["paths"]["/missions"]["get"]
    assert {p["name"] for p in listed["parameters"]} >= {"status", "limit", "cursor", "timezone", "locale"}
    claim = documents[1]["components"]["schemas"]
    assert "GemsReward" in claim
