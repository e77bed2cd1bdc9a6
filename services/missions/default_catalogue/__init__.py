"""The missions that come with the product, as data: the YAML files beside this one."""

from importlib.resources import files

import yaml

from services.missions.catalogue import Catalogue, parse_catalogue
from services.missions.definition import Mission

REVISION = 1
"""Revision of a catalogue that is made from these files alone, without a ledger that counts publications."""


def default_missions() -> list[Mission]:
    """The missions of all files, in the order of the files' names. Raises ValueError that lists what is wrong with them."""
    entries: list[object] = []
    for file in sorted(files(__name__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            entries += yaml.safe_load(file.read_text(encoding="utf-8"))["missions"]
    missions, problems = parse_catalogue({"missions": entries}, "default catalogue")
    if problems:
        raise ValueError("\n".join(map(str, problems)))
    return missions


def default_catalogue() -> Catalogue:
    """The default missions, ready to match."""
    return Catalogue(default_missions(), REVISION)
