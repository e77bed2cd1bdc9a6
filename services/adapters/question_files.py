"""Reads the question catalogue from YAML files, and says what is wrong in them and where."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import yaml

from services.missions.problems import Problem
from services.missions.selection.parse import parse_questions
from services.missions.selection.questions import Question, QuestionCatalogue

FILE_BYTES_MAX = 16 * 1024 * 1024
"""The questions of a hundred courses fit; something larger is another file."""

PROBLEMS_SHOWN = 20
"""In one message; whoever has more mends these first."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick, where the library was built with it


class QuestionFileError(Exception):
    """Question files can't be used: one can't be read or is no YAML, or what they hold is wrong. The message says where."""


def read_questions(path: Path) -> tuple[list[Question], list[Problem]]:
    """Questions of a file, or of all `*.yaml` files of a folder by name, and every problem found. Raises `QuestionFileError`.

    The first language is where a user begins who learns nothing yet.
    """
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise QuestionFileError(f"{path} holds no *.yaml file: name a file, or put the questions there")
    texts = []
    for file in files:
        try:
            if file.stat().st_size > FILE_BYTES_MAX:
                raise QuestionFileError(f"{file} is larger than {FILE_BYTES_MAX} bytes: split it into several files")
            texts.append((file.name, file.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise QuestionFileError(f"{file} can't be read: {error}") from error
    return _parse(texts)


def load_questions(path: Path | None = None) -> QuestionCatalogue:
    """The catalogue of a file or folder, or the sample that comes with the system. Raises `QuestionFileError`."""
    questions, problems = _parse(_sample()) if path is None else read_questions(path)
    if problems:
        shown = [str(problem) for problem in problems[:PROBLEMS_SHOWN]]
        more = [f"and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
        raise QuestionFileError("The questions can't be used. Mend these places:\n" + "\n".join(shown + more))
    return QuestionCatalogue(questions)


def _sample() -> list[tuple[str, str]]:
    folder = resources.files("services.missions").joinpath("question_catalogue")
    return sorted((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _parse(texts: Sequence[tuple[str, str]]) -> tuple[list[Question], list[Problem]]:
    files: list[tuple[str, object]] = []
    for name, text in texts:
        try:
            files.append((name, yaml.load(text, Loader=_LOADER)))  # noqa: S506 # both loaders are the safe ones
        except yaml.YAMLError as error:
            raise QuestionFileError(f"{name} is no YAML: {error}") from error
    return parse_questions(files)
