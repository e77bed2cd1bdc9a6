"""Mutants: what is removed, a copy of the tree without it, and what pytest says of that copy."""

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from services.stack.paths import jar_cache

PROJECT: Final = Path(__file__).resolve().parents[2]
MUTANTS: Final = Path(__file__).with_name("mutants.yaml")

RUN_SECONDS: Final = 1800
"""For the tests of one mutant. Most take a minute; some mutants make tests wait for what never comes, one after the other."""

PYTEST_OK, PYTEST_FAILED = 0, 1


class MutantError(Exception):
    """A mutant can't be made, or its tests can't be run. The message says which, and how to mend it."""


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One replacement in one file. `find` must be there exactly once."""

    file: str
    find: str
    replace: str

    def apply(self, root: Path, name: str) -> None:
        """Edits the file below `root`. Raises `MutantError`."""
        path = root / self.file
        text = path.read_text("utf-8") if path.is_file() else ""
        if (count := text.count(self.find)) != 1:
            raise MutantError(
                f"mutant {name}: the text to replace in {self.file} is there {count} times instead of once:\n"
                f"{self.find}\nThe code has changed: bring {MUTANTS.relative_to(PROJECT)} up to date."
            )
        path.write_text(text.replace(self.find, self.replace), "utf-8")


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The system without one of its guards. `tests` are what pytest gets, those first that are quick to find it."""

    name: str
    removes: str
    edits: list[Edit]
    tests: list[str]


@dataclass(frozen=True)
class Outcome:
    """What pytest said of one copy: the tests that failed, how many ran, and how long it took."""

    failed: list[str]
    ran: int
    seconds: float


def load() -> list[Mutant]:
    """All mutants, in the order of the file. Raises `MutantError`."""
    try:
        return msgspec.yaml.decode(MUTANTS.read_bytes(), type=list[Mutant])
    except msgspec.MsgspecError as error:
        raise MutantError(f"{MUTANTS.relative_to(PROJECT)}: {error}") from error


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """A directory with every file of the project that version control has or would take, until the block ends."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    with TemporaryDirectory(prefix="missions-mutant-") as directory:
        root = Path(directory).resolve()
        root.chmod(0o711)  # Postgres may run as another user
        for name in filter(None, listed.stdout.split("\0")):
            if (PROJECT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, root / name)
        yield root


def run_tests(root: Path, tests: Sequence[str]) -> Outcome:
    """Runs the tests on the copy at `root`. Raises `MutantError` when they can't be run."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "schemas")]),
        "MISSIONS_KAFKA_JARS": str(jar_cache()),
    }
    _require_its_own_code(root, environment)
    report = root / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=RUN_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise MutantError(f"{' '.join(tests)} did not end within {RUN_SECONDS} s") from error
    seconds = time.monotonic() - started
    if done.returncode not in (PYTEST_OK, PYTEST_FAILED):
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise MutantError(f"pytest could not run {' '.join(tests)} (exit {done.returncode}):\n{tail}")
    cases = list(ET.parse(report).iter("testcase"))
    failed = [case.attrib["name"] for case in cases if case.find("failure") is not None]
    if broken := [case.attrib["name"] for case in cases if case.find("error") is not None]:
        # A fixture that fails says that the copy does not even start, not that a test has noticed anything.
        raise MutantError(f"not a test but its set-up failed, in {', '.join(sorted(set(broken))[:3])}")
    return Outcome(failed, len(cases), seconds)


def _require_its_own_code(root: Path, environment: dict[str, str]) -> None:
    """Else the tests would be of the tree that was copied, and every mutant would survive."""
    ask = "import services, mission_events; print(services.__file__); print(mission_events.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", ask], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    if others := [line for line in found.stdout.splitlines() if not Path(line).is_relative_to(root)]:
        raise MutantError(f"the copy at {root} uses code from elsewhere: {', '.join(others)}")
