"""A user's state as the ledger and Redis keep it, read without the system's own models: for those who judge or spoil it."""

import json
from typing import Any

import msgspec

Json = dict[str, Any]


def read_state(kept: bytes) -> Json:
    """What JSON makes of it: times as text, keys as text."""
    if not kept.startswith(b"{"):
        kept = msgspec.json.encode(msgspec.msgpack.decode(kept))
    state: Json = json.loads(kept)
    return state


def write_state(state: Json) -> bytes:
    """The same as bytes that the system reads: JSON, as states were once kept."""
    return json.dumps(state).encode()
