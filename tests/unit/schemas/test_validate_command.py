"""`missions validate`: what a publisher reads in the terminal, and the exit codes that CI goes by."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from services.cli.validate import validate

app = typer.Typer()
app.command()(validate)


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def event(**changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "xp-service",
        "type": "learning.xp-earned.v1",
        "subject": "user-42",
        "time": "2026-11-22T08:00:00Z",
        "data": {"amount": 20, "xp_source": "lesson"},
    } | changes


BAD = event(id="e-2", data={"amount": "20", "xp_source": "lesson"})
OLD = "2020-01-01T00:00:00Z"


def write(path: Path, text: str) -> str:
    file = path / "events"
    file.write_text(text, encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("indent", [None, 2])
def test_one_valid_event(tmp_path: Path, indent: int | None) -> None:
    result = run(write(tmp_path, json.dumps(event(time=OLD), indent=indent)))
    assert (result.exit_code, result.stdout) == (0, "line 1: valid learning.xp-earned.v1 e-1\n1 valid, 0 invalid\n")


def test_lines_are_checked_one_by_one_and_errors_say_where_and_how_to_mend_it(tmp_path: Path) -> None:
    lines = [json.dumps(event(time=OLD)), "", json.dumps(BAD), '{"specversion":', json.dumps(event(time=OLD))]
    result = run(write(tmp_path, "\n".join(lines)))
    assert result.exit_code == 1
    assert "line 3: invalid wrong_type at /data/amount" in result.stdout
    assert '"20" should be a valid integer. Send the documented JSON type' in result.stdout
    assert "line 4: invalid not_json at the whole event" in result.stdout
    assert "line 5: valid" in result.stdout
    assert result.stdout.endswith("2 valid, 2 invalid\n")


def test_an_array_gives_the_line_of_each_event(tmp_path: Path) -> None:
    text = "\n[\n" + json.dumps(event(time=OLD), indent=1) + ",\n\n" + json.dumps(BAD) + "]"
    result = run("--format", "json", write(tmp_path, text))
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["valid"], report["invalid"]) == (1, 1)
    first, second = report["events"]
    assert (first["line"], first["outcome"], first["id"], first["reason"]) == (3, "valid", "e-1", None)
    assert (second["line"], second["outcome"]) == (16, "invalid")
    assert (second["reason"], second["pointer"]) == ("wrong_type", "/data/amount")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (json.dumps(event(time=OLD), indent=1)[:-9].encode(), "not_json"),
        (b"not an event", "not_json"),
        (b"[1, 2", "not_json"),
        (b"[" * 500, "too_deep"),
        (b"5", "not_an_object"),
        (b"[[]]", "not_an_object"),
        (b"\xff\xfe{", "not_json"),
        (json.dumps(event(subject="a\0")).encode(), "nul_character"),
    ],
)
def test_what_is_no_event_is_one_invalid_event(content: bytes, reason: str) -> None:
    result = run("-", "--format", "json", stdin=content)
    assert result.exit_code == 1
    assert [check["reason"] for check in json.loads(result.stdout)["events"]] == [reason]


def test_a_misspelt_type_is_found_although_the_processor_would_only_count_it() -> None:
    result = run("-", stdin=json.dumps(event(type="learning.xp-earnt.v1", time=OLD)).encode())
    assert result.exit_code == 1
    assert "unknown_type at /type" in result.stdout
    assert "did you mean learning.xp-earned.v1?" in result.stdout


def test_a_time_in_the_future_is_always_wrong_and_a_past_one_only_when_asked() -> None:
    ahead = json.dumps(event(time=(datetime.now(UTC) + timedelta(hours=1)).isoformat())).encode()
    old = json.dumps(event(time=OLD)).encode()
    assert run("-", stdin=old).exit_code == 0
    assert "time_in_future at /time" in run("-", stdin=ahead).stdout
    assert "time_too_old at /time" in run("-", "--at", "now", stdin=old).stdout
    assert run("-", "--at", "2020-01-02T00:00:00Z", stdin=old).exit_code == 0


@pytest.mark.parametrize("content", ["", " \n\n", "[]"])
def test_a_file_without_events_is_unreadable(tmp_path: Path, content: str) -> None:
    result = run(write(tmp_path, content))
    assert result.exit_code == 2
    assert "holds no event" in result.stderr


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        result = run(str(path))
        assert result.exit_code == 2
        assert f"can't read {path}" in result.stderr


@pytest.mark.parametrize("at", ["yesterday", "2026-11-22T08:00:00"])
def test_a_bad_moment_is_refused_with_an_example(at: str) -> None:
    result = run("-", "--at", at, stdin=b"{}")
    assert result.exit_code == 2
    assert "2026-11-22T08:00:00Z" in result.stderr
