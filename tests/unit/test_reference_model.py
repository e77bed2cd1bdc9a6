"""The reference model is worth its name: small enough to be read at a sitting, and no line of it is the system's."""

import ast
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mission_events.testing import Example, iter_examples
from tests.reference.reading import instant, read

REFERENCE = Path(__file__).parents[1] / "reference"
INDEPENDENT = [
    *(
        "model.py",
        "rules.py",
        "journal.py",
        "reading.py",
        "missions.py",
        "life.py",
        "learner.py",
        "noise.py",
        "compare.py",
        "states.py",
    ),
]
LINES_MAX = 300


@pytest.mark.parametrize("name", INDEPENDENT)
def test_it_imports_nothing_of_the_system(name: str) -> None:
    tree = ast.parse((REFERENCE / name).read_text("utf-8"))
    imported = {
        module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert not [module for module in imported if module.split(".")[0] in ("services", "mission_events", "tests")]


LEARNING = [example for example in iter_examples() if example.topic.startswith("learning.")]


@pytest.mark.parametrize("example", LEARNING, ids=[f"{e.topic}-{e.situation}" for e in LEARNING])
def test_it_reads_every_published_example_as_the_contract_says(example: Example) -> None:
    recorded_at = example.record_timestamp or sent_at(example)
    found = read(example.value, example.headers, recorded_at)
    assert (found == "dead_letter") is not example.good
    assert isinstance(found, dict) or found == "dead_letter"


def sent_at(example: Example) -> datetime:
    """A time at which the example's own time is near."""
    try:
        return instant(json.loads(example.value or b"")["time"])
    except (ValueError, KeyError, TypeError):
        return datetime(2026, 11, 22, 8, tzinfo=UTC)


def test_the_model_has_under_300_lines() -> None:
    code = [line for name in ("model.py", "rules.py") for line in code_of(REFERENCE / name)]
    assert len(code) < LINES_MAX
    assert len((REFERENCE / "model.py").read_text("utf-8").splitlines()) < LINES_MAX


def code_of(file: Path) -> list[str]:
    """The lines of a file that are neither blank nor documentation."""
    text = file.read_text("utf-8")
    lines = dict(enumerate(text.splitlines(), start=1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                lines.pop(number, None)
    return [line for line in lines.values() if line.strip()]
