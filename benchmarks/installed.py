"""What a benchmark needs beside the project: installed once below `.local`, in a folder named by the digest of what says so."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from services.stack.errors import StackError
from services.stack.paths import PROJECT

INSTALL_SECONDS = 600.0


def once(name: str, files: Sequence[Path], install: Callable[[Path], None]) -> Path:
    """The folder of `name` for these files; `install` fills it when it is not there, or was not finished."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    directory = PROJECT / ".local" / name / digest
    done = directory / "installed"
    if not done.exists():
        shutil.rmtree(directory, ignore_errors=True)
        install(directory)
        done.touch()
    return directory


def run(command: Sequence[str], seconds: float, what: str, *, directory: Path | None = None) -> None:
    """Runs a command that makes `what`. Raises StackError with its last lines when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds, cwd=directory)
    if done.returncode != 0:
        lines = tuple((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise StackError(
            f"could not make {what}: {lines[-1] if lines else done.returncode}", "see the lines above", lines
        )
