"""Reads the named queries of `sql/*.sql`, so that Python holds no SQL."""

from functools import cache
from importlib import resources


@cache
def queries(file: str) -> dict[str, str]:
    """Query texts by name, from `sql/<file>.sql`. A query starts at its `-- name:` line and ends at the next one."""
    text = resources.files(__package__).joinpath("sql", f"{file}.sql").read_text("utf-8")
    found: dict[str, str] = {}
    for part in text.split("-- name: ")[1:]:
        name, _, body = part.partition("\n")
        if name.strip() in found:
            raise ValueError(f"sql/{file}.sql names the query {name.strip()!r} twice: rename one")
        found[name.strip()] = body.strip()
    return found
