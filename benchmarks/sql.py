"""Reads the benchmark's own named queries."""

from functools import cache
from pathlib import Path


@cache
def queries(file: str) -> dict[str, str]:
    """Query texts by name, from `<file>.sql` beside this file; each starts at its `-- name:` line."""
    parts = (Path(__file__).parent / f"{file}.sql").read_text("utf-8").split("-- name: ")[1:]
    return {name.strip(): body.strip() for name, _, body in (part.partition("\n") for part in parts)}
