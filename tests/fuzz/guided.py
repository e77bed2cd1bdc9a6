"""One target under atheris, guided by coverage: `python -m tests.fuzz.guided TARGET [libFuzzer's options] CORPUS`."""

import importlib
import sys
from typing import Any

FOLLOWED = ["mission_events", "services.missions", "services.adapters.catalogue_files", "services.cli.validate"]
"""Packages whose branches count: what reads the inputs."""


def main() -> None:
    """Fuzzes until libFuzzer ends the process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=FOLLOWED):
        targets: Any = importlib.import_module("tests.fuzz.targets")
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, targets.TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
