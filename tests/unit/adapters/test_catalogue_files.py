"""Definitions from files: a folder is one catalogue, each problem names its file, and what is no YAML says where."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.adapters.catalogue_files import CatalogueFileError, default_catalogue, default_missions, read_catalogue
from services.cli.main import app

MISSION = """\
  - id: {id}
    type: daily
    title: {{en: "A mission"}}
    period: daily
    objectives: [{{id: one, event: learning.lesson-completed.v1, measure: count, target: 1}}]
    rewards: [{{kind: gems, amount: {amount}}}]
    requires: [{requires}]
"""


def write(folder: Path, name: str, *missions: str) -> None:
    (folder / name).write_text("missions:\n" + "".join(missions), "utf-8")


def one(name: str, requires: str = "", amount: int = 1) -> str:
    return MISSION.format(id=name, requires=requires, amount=amount)


def test_a_mission_may_require_one_of_another_file(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", one("second", requires="first"))
    write(tmp_path, "b.yaml", one("first"))
    missions, problems = read_catalogue(tmp_path)
    assert problems == []
    assert [mission.id for mission in missions] == ["second", "first"]


def test_problems_between_files_name_the_file_and_the_place(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", one("x"), one("second", requires="frist"))
    write(tmp_path, "b.yaml", one("first", requires="third"), one("x"))
    write(tmp_path, "c.yaml", one("third", requires="first"))
    assert [str(problem) for problem in read_catalogue(tmp_path)[1]] == [
        "a.yaml: missions[1].requires[0]: there is no mission frist. Did you mean first?",
        "b.yaml: missions[0].requires[0]: third itself requires first, so neither could ever be issued",
        "b.yaml: missions[1].id: version 1 of x is given twice; raise the version or change the id",
        "c.yaml: missions[0].requires[0]: first itself requires third, so neither could ever be issued",
    ]


def test_a_mission_with_a_mistake_of_its_own_is_not_said_to_be_missing(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", one("first", amount=-1), one("second", requires="first"), one("third", requires="nobody"))
    assert [problem.path for problem in read_catalogue(tmp_path)[1]] == [
        "missions[0].rewards[0].amount",
        "missions[2].requires[0]",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missions: [", "a.yaml is no YAML"),
        ("missions:\n  - id: a\n    id: b\n", "the key id is given twice"),
        ("missions: [{id: a, opens_at: 2026-13-45}]", r"month must be in 1..12\)\n.*line 1, column 30"),
        ("[" * 5000, "a.yaml is nested too deep"),
        ("missions: ['a\0b']", "a.yaml is no YAML"),
    ],
)
def test_a_file_that_is_no_yaml_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text, "utf-8")
    with pytest.raises(CatalogueFileError, match=message):
        read_catalogue(tmp_path / "a.yaml")


def test_a_merged_key_may_be_given_again(tmp_path: Path) -> None:
    text = "missions:\n  - &one\n" + one("first").replace("  - id", "    id", 1) + "  - {<<: *one, id: second}\n"
    (tmp_path / "a.yaml").write_text(text, "utf-8")
    missions, problems = read_catalogue(tmp_path)
    assert problems == []
    assert [mission.id for mission in missions] == ["first", "second"]


def test_check_explains_every_mistake_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", one("first", amount=0))
    write(tmp_path, "b.yaml", one("second", requires="frist"))
    result = CliRunner().invoke(app, ["catalogue", "check", str(tmp_path)])
    assert result.exit_code == 1
    assert "a.yaml: missions[0].rewards[0].amount" in result.output
    assert "b.yaml: missions[0].requires[0]: there is no mission frist. Did you mean first?" in result.output


def test_the_default_catalogue_is_read_once_and_for_all() -> None:
    assert len(default_catalogue()) == len(default_missions())
