"""Pages through lists that are ordered by an instant and an id: opaque cursors and Link headers."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from fastapi import Query

from services.adapters.ledger.users import Position
from services.adapters.problems import Problem, invalid_parameter

PAGE_SIZE = 50
PAGE_SIZE_MAX = 100
"""Rows in one page: a phone shows about ten, and an answer stays below 100 KiB."""

CURSOR_CHARACTERS_MAX = 400
"""A cursor of ours has at most about 260: an instant and an id of 128 characters in base64."""

Limit = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="Rows in a page")]
Cursor = Annotated[
    str | None,
    Query(max_length=CURSOR_CHARACTERS_MAX, description="Where the page begins: `next_cursor` of the page before"),
]

IDENTIFIER = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_decode = msgspec.json.Decoder(tuple[datetime, str]).decode


def encode_cursor(position: Position) -> str:
    """A cursor that leads behind this row."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, ids: re.Pattern[str] = IDENTIFIER) -> Position | None:
    """The row that the page begins behind; `ids` is what its id looks like. Raises a 422 problem for a cursor of another kind."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        position = _decode(base64.b64decode(padded, altchars=b"-_", validate=True))
        if position[0].tzinfo is None or not ids.fullmatch(position[1]):
            raise _bad_cursor()
        return position[0].astimezone(UTC), position[1]
    except (ValueError, OverflowError, binascii.Error, msgspec.MsgspecError):
        raise _bad_cursor() from None


def link_to_next(path: str, query: Mapping[str, str], cursor: str | None) -> dict[str, str]:
    """The Link header of a page that is not the last one."""
    if cursor is None:
        return {}
    return {"Link": f'<{path}?{urlencode({**query, "cursor": cursor})}>; rel="next"'}


def _bad_cursor() -> Problem:
    return invalid_parameter("cursor", "is not one of ours: use the `next_cursor` of the page before, or leave it out")
