"""What is fuzzed: each target takes any bytes, and raises only when something is wrong with the code that reads them."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Final

import msgspec
import yaml

from mission_events import DeadLetter, Event, OutEvent, Rejected, UnknownType, decode, decode_dead_letter, decode_out
from mission_events.reasons import MAX_DETAIL
from mission_events.testing import Example, iter_examples
from services.adapters.catalogue_files import CatalogueFileError, parse_texts
from services.cli.validate import check_event, split_events
from services.missions.catalogue import Catalogue, parse_catalogue
from services.missions.decide import Recorded, decide, issue_now
from services.missions.definition import Mission
from services.missions.problems import Problem
from services.missions.state import UserState, decode_state, encode_state
from tests.fuzz.strange import strange_missions
from tests.support.builders import NOON, USER, answer, event, item, lesson, session, streak, xp

REGRESSIONS: Final = Path(__file__).with_name("regressions")
"""`<target>/<name>`: inputs that have failed once. They are tried in every run of the tests."""

HEADERS_END: Final = b"\n\n"
"""Between headers, one `name: value` a line, and the value: how a record is one input."""

Headers = tuple[tuple[str, bytes | None], ...]


def split_record(data: bytes) -> tuple[Headers, bytes | None]:
    """Headers and value of a record that is written as one input; without an empty line there are only headers."""
    head, separator, value = data.partition(HEADERS_END)
    headers: list[tuple[str, bytes | None]] = []
    for line in filter(None, head.split(b"\n")):
        name, colon, text = line.partition(b": ")
        headers.append((name.decode("utf-8", "replace"), text if colon else None))
    return tuple(headers), value if separator else None


def join_record(headers: Headers, value: bytes | None) -> bytes:
    """The reverse of `split_record`, as far as headers hold no line ends."""
    lines = [name.encode() + (b"" if text is None else b": " + text) for name, text in headers]
    return b"\n".join(lines) + (b"" if value is None else HEADERS_END + value)


def structured(data: bytes) -> None:
    """A record of a topic in, in structured mode."""
    _check_decoded(decode(data, record_timestamp=NOON))


def binary(data: bytes) -> None:
    """A record of a topic in, with headers."""
    headers, value = split_record(data)
    _check_decoded(decode(value, headers, record_timestamp=NOON))


def out(data: bytes) -> None:
    """A record of a topic out, with headers."""
    headers, value = split_record(data)
    _check_decoded(decode_out(value, headers))


def dead_letter(data: bytes) -> None:
    """A dead letter, read and written again."""
    headers, value = split_record(data)
    letter = decode_dead_letter(value, headers)
    if isinstance(letter, DeadLetter):
        again = decode_dead_letter(value, letter.to_headers())
        assert isinstance(again, DeadLetter), again
        assert (again.offset, again.headers, again.topic) == (letter.offset, letter.headers, letter.topic)
    else:
        _check_rejected(letter)


def definitions_yaml(data: bytes) -> None:
    """A catalogue file; what is right in it is issued and played."""
    try:
        missions, problems = parse_texts([("fuzz.yaml", data.decode("utf-8", "replace"))])
    except CatalogueFileError:
        return
    _check_problems(problems, missions)


def definitions_json(data: bytes) -> None:
    """Definitions as the admin API gets them; what is right in them is issued and played."""
    try:
        read = json.loads(data)
    except (ValueError, RecursionError):
        return
    missions, problems = parse_catalogue(read, "fuzz.json")
    _check_problems(problems, missions)


def strange_definitions(data: bytes) -> None:
    """Definitions that chance makes, with these bytes as its seed."""
    missions, problems = parse_catalogue(strange_missions(Random(data)), "strange")
    _check_problems(problems, missions)


def validate_file(data: bytes) -> None:
    """A file for `missions validate`."""
    for line, value in split_events(data):
        check = check_event(line, value, now=NOON, at=None)
        assert check.outcome in {"valid", "invalid"}
        assert 1 <= check.line <= data.count(b"\n") + 1


def _check_problems(problems: list[Problem], missions: list[Mission]) -> None:
    for problem in problems:
        assert problem.path.startswith("missions") or "no such key" in problem.message
        assert str(problem)
    # Missions that contradict each other make no catalogue; each one alone must still be one.
    for catalogue in [missions] if not problems else [[mission] for mission in missions]:
        play(catalogue)


def play(missions: list[Mission]) -> None:
    """Issues these missions to a user and applies a week of events, each of which may match."""
    if not missions:
        return
    catalogue = Catalogue(missions, 1)
    state = UserState(USER)
    for day in range(8):
        at = NOON + timedelta(days=day)
        issue_now(state, at, catalogue)
        decision = decide(state, [Recorded(event(data, at), at) for data in _EVENTS], {}, catalogue)
        state = decode_state(encode_state(decision.state))


_EVENTS: Final = (
    session("Europe/Berlin"),
    lesson(),
    lesson(hearts_lost=2, accuracy=0.5, lesson_type="boss_challenge"),
    xp(40),
    answer(correct=False),
    answer(correct=True, concept_kind="keyword", concept_id="def"),
    streak(3, "2026-11-25"),
    item(2),
)


def _check_decoded(result: Event | OutEvent | UnknownType | Rejected) -> None:
    if isinstance(result, Rejected):
        _check_rejected(result)
    else:
        assert result.time.utcoffset() == timedelta(0)
        result.id.encode("ascii")
        result.subject.encode("ascii")


def _check_rejected(rejected: Rejected) -> None:
    assert rejected.detail
    assert len(rejected.detail) <= MAX_DETAIL
    rejected.pointer.encode("utf-8")


@dataclass(frozen=True)
class Target:
    """A function that is fuzzed, and inputs to begin with."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def _values() -> list[bytes]:
    return [e.value for e in _examples("learning.") if e.value is not None]


def _records(prefix: str) -> list[bytes]:
    return [join_record(tuple(e.headers), e.value) for e in _examples(prefix)]


def _examples(prefix: str) -> Iterator[Example]:
    return (e for e in iter_examples() if e.topic.startswith(prefix) and len(e.value or b"") < 4096)


def _catalogues() -> list[bytes]:
    folder = files("services.missions").joinpath("default_catalogue")
    return [entry.read_bytes() for entry in folder.iterdir() if entry.name.endswith(".yaml")]


def _catalogues_as_json() -> list[bytes]:
    return [msgspec.json.encode(yaml.safe_load(text)) for text in _catalogues()]


def _files_of_events() -> list[bytes]:
    values = [value for value in _values() if value.startswith(b"{")][:6]
    return [b"\n".join(values), b"[" + b",\n".join(values) + b"]", values[0]]


TARGETS: Mapping[str, Target] = {
    "structured": Target(structured, _values),
    "binary": Target(binary, lambda: _records("learning.")),
    "out": Target(out, lambda: _records("missions.")),
    "dead-letter": Target(dead_letter, lambda: _records("missions.dead-letter")),
    "definitions-yaml": Target(definitions_yaml, _catalogues),
    "definitions-json": Target(definitions_json, _catalogues_as_json),
    "strange-definitions": Target(strange_definitions, lambda: [b"%d" % number for number in range(20)]),
    "validate-file": Target(validate_file, _files_of_events),
}


def regressions() -> list[tuple[str, str, bytes]]:
    """(target, name, input) of everything that has failed once."""
    return [
        (folder.name, file.name, file.read_bytes())
        for folder in sorted(REGRESSIONS.iterdir())
        for file in sorted(folder.iterdir())
    ]
