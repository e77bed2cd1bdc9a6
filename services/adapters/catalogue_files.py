"""Reads mission definitions from YAML files, and says what is wrong in them and where."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from services.missions.catalogue import Catalogue, parse_catalogues
from services.missions.definition import Mission
from services.missions.problems import Problem

FILE_BYTES_MAX = 4 * 1024 * 1024
"""A catalogue of ten thousand missions fits; something larger is another file."""

FILE_VALUES_MAX = 2_000_000
"""Values in a file, with each alias counted as all that it stands for: more than a file of `FILE_BYTES_MAX` can hold without
aliases. A few lines of aliases of aliases would stand for more than any memory holds."""

DEFAULT_REVISION = 1
"""Revision of a catalogue that is made from files alone, without a ledger that counts publications."""


class CatalogueFileError(Exception):
    """A catalogue file can't be read at all: it is missing, too large, or no YAML."""


def read_catalogue(path: Path) -> tuple[list[Mission], list[Problem]]:
    """Missions of a file, or of all `*.yaml` files of a folder together, and every problem found. Raises `CatalogueFileError`.

    A mission may require one of another file of the folder; each problem names its file.
    """
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
    return parse_texts(texts)


def default_missions() -> list[Mission]:
    """The missions that come with the system, in the order of their files' names. Raises `CatalogueFileError` when they are broken."""
    folder = resources.files("services.missions").joinpath("default_catalogue")
    texts = sorted((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    missions, problems = parse_texts(texts)
    if problems:
        raise CatalogueFileError("the default catalogue is broken:\n" + "\n".join(map(str, problems)))
    return missions


def default_catalogue() -> Catalogue:
    """The missions that come with the system, ready to match."""
    return Catalogue(default_missions(), DEFAULT_REVISION)


class _Loader(yaml.SafeLoader):
    """YAML's plain data; a key that is given twice is a mistake, where YAML would quietly take the last."""

    @override
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {key.value} is given twice", key.start_mark)
            seen.add(str(key.value))
        return node

    @override
    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None and (count := _values_in(node, {})) > FILE_VALUES_MAX:
            message = f"its aliases (*name) stand for {count:.1g} values, more than {FILE_VALUES_MAX}; write out what is meant"
            raise yaml.YAMLError(message)
        return node

    @override
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        # So it says that a text does not fit its tag: a date that does not exist, `!!int ""`, `!!bool x`.
        except (ValueError, LookupError, AttributeError) as error:
            message = f"this can't be read as {node.tag.rpartition(':')[2]} ({error})"
            raise yaml.MarkedYAMLError(None, None, message, node.start_mark) from error


def _values_in(node: yaml.Node, known: dict[int, int | None]) -> int:
    """How many values a node stands for; `known` has those of nodes seen before, by their id, None while one is being counted."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        count = known[id(node)]
        if count is None:
            raise yaml.MarkedYAMLError(None, None, "this holds itself, by an alias", node.start_mark)
        return count
    known[id(node)] = None
    members = node.value if isinstance(node, yaml.SequenceNode) else [each for pair in node.value for each in pair]
    count = known[id(node)] = 1 + sum(_values_in(each, known) for each in members)
    return count


def parse_texts(texts: Sequence[tuple[str, str]]) -> tuple[list[Mission], list[Problem]]:
    """The same from texts of YAML, each with the name of its file. Raises `CatalogueFileError`."""
    sources: list[tuple[str, object]] = []
    for name, text in texts:
        try:
            sources.append((name, yaml.load(text, Loader=_Loader)))  # noqa: S506 # it is a SafeLoader
        except RecursionError as error:
            raise CatalogueFileError(f"{name} is nested too deep: no definition has more than a few levels") from error
        except yaml.YAMLError as error:
            raise CatalogueFileError(f"{name} is no YAML: {error}") from error
    return parse_catalogues(sources)
