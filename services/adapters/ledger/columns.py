"""Columns of many rows as one text each: the driver needs half a microsecond for every member of an array, and none for a text's.

The queries take them apart with `string_to_array`. Only what can't hold the separator may be joined: identifiers, JSON (which
escapes control characters) and numbers.
"""

from collections.abc import Sequence

import asyncpg

SEPARATOR = "\x1f"
"""The unit separator of ASCII: in SQL `e'\\x1f'`."""


class Texts(str):
    """Texts of a column: `string_to_array($1, e'\\x1f')`. None, where it may occur, is the empty text:
    `string_to_array($1, e'\\x1f', '')`."""

    __slots__ = ()

    def members(self) -> list[str | None]:
        """What was joined."""
        return [member or None for member in super().split(SEPARATOR)]


class Numbers(str):
    """Whole numbers of a column: `string_to_array($1, ',')::bigint[]`, and with None `string_to_array($1, ',', '')::bigint[]`."""

    __slots__ = ()

    def members(self) -> list[int | None]:
        """What was joined."""
        return [int(member) if member else None for member in super().split(",")]


def texts(values: Sequence[str]) -> Texts:
    """Joins texts, none of them empty. Raises asyncpg's DataError, as the driver does for what a column can't hold."""
    joined = SEPARATOR.join(values)
    if joined.count(SEPARATOR) >= max(len(values), 1):
        raise asyncpg.DataError("a text holds U+001F, which no identifier and no JSON may hold; send it without")
    return Texts(joined)


def optional_texts(values: Sequence[str | None]) -> Texts:
    """Joins texts, none of them empty, and Nones. Raises as `texts`."""
    return texts([value or "" for value in values])


def numbers(values: Sequence[int]) -> Numbers:
    """Joins whole numbers."""
    return Numbers(",".join(map(str, values)))


def optional_numbers(values: Sequence[int | None]) -> Numbers:
    """Joins whole numbers and Nones."""
    return Numbers(",".join(["" if value is None else str(value) for value in values]))
