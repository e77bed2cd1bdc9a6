"""Record headers as the ledger keeps them: JSON, with bytes as Latin-1 text, which is the same bytes again."""

from collections.abc import Sequence

import msgspec

Header = tuple[str, bytes | None]

_decode = msgspec.json.Decoder(list[tuple[str, str | None]]).decode


def headers_json(headers: Sequence[Header]) -> str:
    """The JSON of some headers, in their order."""
    return msgspec.json.encode(
        [(name, None if value is None else value.decode("latin-1")) for name, value in headers]
    ).decode()


def headers_of(text: str) -> tuple[Header, ...]:
    """The headers of such JSON."""
    return tuple((name, None if value is None else value.encode("latin-1")) for name, value in _decode(text))
