"""Operators: calls of the admin endpoints, as somebody with a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from services.adapters.tokens import TokenKind
from tests.support.builders import mission_data
from tests.support.http import Client, Json


def draft_of(mission_id: str, **fields: Any) -> Json:
    """A definition that everybody gets, with a title of its own."""
    return mission_data(**{"id": mission_id, "title": {"en": f"Mission {mission_id}"}, **fields})


@dataclass(frozen=True)
class Operator:
    """Somebody with an admin token."""

    client: Client
    name: str = "olga"

    async def call(self, method: str, path: str = "", body: Any = None, **query: str) -> httpx.Response:
        """A call below /admin/missions."""
        headers = self.client.headers(TokenKind.ADMIN, self.name)
        url = f"/admin/missions{path}"
        return await self.client.http.request(method, url, json=body, headers=headers, params=query)

    async def create(self, definition: Mapping[str, Any], **query: str) -> httpx.Response:
        """Makes a draft."""
        return await self.call("POST", "", definition, **query)

    async def act(self, mission_id: str, action: str, reason: str | None = None, **more: Any) -> httpx.Response:
        """publish, pause, resume, end or schedule."""
        body = {**({"reason": reason} if reason else {}), **more}
        return await self.call("POST", f"/{mission_id}/{action}", body or None)

    async def shown(self, mission_id: str) -> Json:
        """What GET says of a mission."""
        answer = await self.call("GET", f"/{mission_id}")
        assert answer.status_code == 200, answer.text
        document: Json = answer.json()
        return document

    async def published(self, definition: Mapping[str, Any]) -> None:
        """Makes a draft and publishes it."""
        assert (await self.create(definition)).status_code == 201
        answer = await self.act(definition["id"], "publish")
        assert answer.status_code == 200, answer.text
