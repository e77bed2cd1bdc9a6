"""`missions validate FILE`: checks events before they are published, with the decoder that the processor uses."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic_core import from_json

from mission_events.codec import Event, Rejected, decode, decode_any_time
from mission_events.learning import LEARNING_EVENTS

EXIT_ALL_VALID = 0
EXIT_SOME_INVALID = 1
EXIT_UNREADABLE = 2


class OutputFormat(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Check:
    """What came of one event; `line` is where it begins in the file, from 1. `outcome` is valid or invalid."""

    line: int
    outcome: str
    type: str | None = None
    id: str | None = None
    reason: str | None = None
    pointer: str | None = None
    detail: str | None = None


def split_events(content: bytes) -> list[tuple[int, bytes]]:
    """The events of a file and the lines that they begin at: of one JSON object, a JSON array, or NDJSON.

    What is none of these is one event, for the decoder to say what is wrong with it.
    """
    try:
        whole = from_json(content)
    except ValueError:
        lines = [(number, line) for number, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
        if len(lines) > 1 and any(_is_object(line) for _, line in lines):
            return lines
        return [(_first_line(content), content)] if lines else []
    if isinstance(whole, list):
        return list(_elements(content.decode()))
    return [(_first_line(content), content)]


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(from_json(text), dict)
    except ValueError:
        return False


def _first_line(content: bytes) -> int:
    return content[: len(content) - len(content.lstrip())].count(b"\n") + 1


def _elements(text: str) -> Iterator[tuple[int, bytes]]:
    """The elements of a JSON array that is known to be sound, as they stand in the text."""
    decoder = json.JSONDecoder()
    position = text.index("[") + 1
    line = text.count("\n", 0, position) + 1
    while True:
        start = position
        while text[start] in " \t\r\n,":
            start += 1
        if text[start] == "]":
            return
        line += text.count("\n", position, start)
        _, position = decoder.raw_decode(text, start)
        yield line, text[start:position].encode()
        line += text.count("\n", start, position)


def check_event(line: int, value: bytes, *, now: datetime, at: datetime | None) -> Check:
    """Decode one event as if its record had the timestamp `at`.

    Without `at` the record is as old as its event, but no younger than `now`: a file of examples stays valid
    however old it gets, and a time in the future is found.
    """
    result = decode_any_time(value) if at is None else decode(value, record_timestamp=at)
    if not isinstance(result, Rejected) and at is None and result.time > now:
        result = decode(value, record_timestamp=now)
    if isinstance(result, Rejected):
        reason, pointer, detail = str(result.reason), result.pointer, result.detail
        return Check(line, "invalid", reason=reason, pointer=pointer, detail=detail)
    if isinstance(result, Event):
        return Check(line, "valid", result.type, result.id)
    near = get_close_matches(result.type, LEARNING_EVENTS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(LEARNING_EVENTS)}"
    detail = f"no mission reads events of type {result.type}, they are only counted; {hint}"
    return Check(line, "invalid", result.type, result.id, "unknown_type", "/type", detail)


def validate(
    file: Annotated[
        Path, typer.Argument(allow_dash=True, help="Events as one JSON object, a JSON array or NDJSON; - is stdin.")
    ],
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the results.")] = OutputFormat.TEXT,
    at: Annotated[
        str | None,
        typer.Option(help="Check `time` as if published at this moment: RFC 3339, or `now`. [default: any past time]"),
    ] = None,
) -> None:
    """Check learning events: 0 if all are valid, 1 if some are not, 2 if the file can't be read."""
    now = datetime.now(UTC)
    content = _read(file)
    moment = None if at is None else _moment(at, now)
    events = split_events(content)
    if not events:
        _give_up(f"{file} holds no event. Give a file with a JSON object, a JSON array or one event a line.")
    checks = [check_event(line, value, now=now, at=moment) for line, value in events]
    counts = Counter(check.outcome for check in checks)
    if output is OutputFormat.JSON:
        results = {"valid": counts["valid"], "invalid": counts["invalid"], "events": [asdict(c) for c in checks]}
        typer.echo(json.dumps(results, indent=2))
    else:
        for check in checks:
            typer.echo(_as_text(check))
        typer.echo(f"{counts['valid']} valid, {counts['invalid']} invalid")
    raise typer.Exit(EXIT_SOME_INVALID if counts["invalid"] else EXIT_ALL_VALID)


def _as_text(check: Check) -> str:
    if check.outcome == "valid":
        return f"line {check.line}: valid {check.type} {check.id}"
    return f"line {check.line}: invalid {check.reason} at {check.pointer or 'the whole event'}\n    {check.detail}"


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        _give_up(f"can't read {file}: {error.strerror}. Give the path of a file of events, or - for standard input.")


def _moment(text: str, now: datetime) -> datetime:
    try:
        moment = now if text == "now" else datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min  # noqa: DTZ901 - no zone, so it is refused below
    if moment.tzinfo is None:
        _give_up(f"--at {text!r} is no time with an offset. Give one such as 2026-11-22T08:00:00Z, or now.")
    return moment


def _give_up(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(EXIT_UNREADABLE)
