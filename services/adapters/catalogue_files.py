"""Reads mission definitions from YAML files, and says what is wrong in them and where."""

from importlib import resources
from pathlib import Path

import yaml

from services.missions.catalogue import parse_catalogue
from services.missions.definition import Mission
from services.missions.problems import Problem

FILE_BYTES_MAX = 4 * 1024 * 1024
"""A catalogue of ten thousand missions fits; something larger is another file."""


class CatalogueFileError(Exception):
    """A catalogue file can't be read at all: it is missing, too large, or no YAML."""


def read_catalogue(path: Path) -> tuple[list[Mission], list[Problem]]:
    """Missions of a file, or of all `*.yaml` files of a folder, and every problem found. Raises `CatalogueFileError`."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise CatalogueFileError(f"{path} holds no *.yaml file: name a file, or put the definitions there")
    texts = []
    for file in files:
        try:
            if file.stat().st_size > FILE_BYTES_MAX:
                raise CatalogueFileError(f"{file} is larger than {FILE_BYTES_MAX} bytes: split it into several files")
            texts.append((file.name, file.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise CatalogueFileError(f"{file} can't be read: {error}") from error
    return _parse(texts)


def default_catalogue() -> list[Mission]:
    """The missions that come with the system."""
    folder = resources.files("services.missions").joinpath("default_catalogue")
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda entry: entry.name)
    missions, problems = _parse([(file.name, file.read_text("utf-8")) for file in files])
    if problems:
        raise CatalogueFileError("the default catalogue is broken: " + "; ".join(str(p) for p in problems))
    return missions


def _parse(texts: list[tuple[str, str]]) -> tuple[list[Mission], list[Problem]]:
    missions: list[Mission] = []
    problems: list[Problem] = []
    for name, text in texts:
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise CatalogueFileError(f"{name} is no YAML: {error}") from error
        found, wrong = parse_catalogue(data, name)
        missions += found
        problems += wrong
    return missions, problems
