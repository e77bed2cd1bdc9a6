"""The rules of the house that a linter does not know: size of files, and what they say first."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
FILES = [
    path
    for folder in ("services", "schemas", "tests", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "build" not in path.parts
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_what_it_is_for_and_stays_small(path: Path) -> None:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= FILE_LINES_MAX, "what is the second thing in it?"
    if tree.body:
        assert ast.get_docstring(tree), "the first line says what the file is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nested = [
                n for n in ast.walk(node) if n is not node and isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
            lines = _lines(node) - sum(_lines(n) for n in nested)
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines: split it"


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_python_holds_no_sql() -> None:
    words = ("insert into ", "delete from ", "select * from ")
    found = [
        str(path.relative_to(ROOT))
        for path in FILES
        if path.is_relative_to(ROOT / "services")
        and any(f'"{word}' in path.read_text("utf-8").lower() for word in words)
    ]
    assert found == []


KAFKA_CLIENTS = {
    "ensure_topics", "missing_topics", "partition_counts", "end_offsets", "read_from",
    "Publisher", "OutputTopics", "WorkerSettings",
}  # fmt: skip
"""What opens a connection to Kafka."""


def test_every_kafka_client_is_given_the_way_to_sign_in() -> None:
    found = []
    for path in FILES:
        if path.is_relative_to(ROOT / "services") and not path.is_relative_to(ROOT / "services/adapters/kafka"):
            for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
                named = {call.func.id} if isinstance(call.func, ast.Name) else set()
                if named == {"partial"} and call.args and isinstance(call.args[0], ast.Name):
                    named = {call.args[0].id}
                if (
                    named & KAFKA_CLIENTS
                    and (call.args or call.keywords)
                    and "security" not in {keyword.arg for keyword in call.keywords}
                ):
                    found.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert found == [], "pass security=security_of(settings)"
