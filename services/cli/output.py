"""What commands print for programs: JSON, one document a command."""

from enum import StrEnum
from typing import Any

import msgspec
import typer


class Format(StrEnum):
    """For people, or for programs."""

    TABLE = "table"
    JSON = "json"


def print_json(document: Any) -> None:
    """Prints dataclasses, named tuples, times and plain values as indented JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
