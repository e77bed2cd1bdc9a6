"""The reference pages: they are what the models say, and every example in them is true."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from services.cli.main import app
from services.cli.reference import IncompleteReference, pages, words
from services.missions.fields import AUDIENCE_FACTS, EVENT_FIELDS, HISTORY_FIELDS
from tests.support.reference import PAGES, Example, examples

EXAMPLES = dict(examples())


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_an_example_claims_is_true(name: str) -> None:
    assert Example(EXAMPLES[name]).run() > 0


@pytest.mark.parametrize(
    "name", [name for name, text in EXAMPLES.items() if {"events", "users"} & set(yaml.safe_load(text))]
)
def test_an_example_that_claims_the_contrary_fails(name: str) -> None:
    """Each claim of an example is really checked."""
    text = EXAMPLES[name]
    words_of = {"counts: true": "counts: false", "gets_it: true": "gets_it: false"}
    wrong = {right: wrong for right, wrong in words_of.items() if right in text}
    assert wrong
    for right, contrary in wrong.items():
        with pytest.raises(AssertionError):
            Example(text.replace(right, contrary, 1)).run()


def test_the_pages_are_what_the_models_say() -> None:
    made = pages()
    assert {path.name: path.read_text("utf-8") for path in PAGES.glob("*.md")} == made, (
        "run `missions catalogue reference` and commit docs/reference"
    )


def test_every_word_has_a_line_and_an_example() -> None:
    text = "\n".join(EXAMPLES.values())
    for name in (*words.OPERATORS, *words.MEASURES, *AUDIENCE_FACTS, *HISTORY_FIELDS, *EVENT_FIELDS, *words.PERIODS):
        assert name == "equals" or name in text, name


def test_a_word_without_a_line_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "OPERATORS", {k: v for k, v in words.OPERATORS.items() if k != "gte"})
    with pytest.raises(IncompleteReference, match="operators: missing: gte"):
        pages()


def test_the_command_writes_the_pages_and_tells_when_they_are_old(tmp_path: Path) -> None:
    run = CliRunner().invoke
    missing = run(app, ["catalogue", "reference", str(tmp_path), "--check"])
    assert missing.exit_code == 1
    assert run(app, ["catalogue", "reference", str(tmp_path)]).exit_code == 0
    assert run(app, ["catalogue", "reference", str(tmp_path), "--check"]).exit_code == 0
    (tmp_path / "events.md").write_text("old")
    old = run(app, ["catalogue", "reference", str(tmp_path), "--check"])
    assert old.exit_code == 1
    assert "events.md" in old.output
