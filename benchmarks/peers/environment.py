"""What the peers run in: a Python environment of their own, and a compiled Kafka Streams program. Made once, then kept."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.stack.errors import StackError
from services.stack.kafka import jars
from services.stack.paths import PROJECT, jar_cache

REQUIREMENTS = PROJECT / "requirements" / "peers.txt"
STREAMS = Path(__file__).with_name("kafka_streams")
INSTALL_SECONDS = 600.0
COMPILE_SECONDS = 120.0

Told = Callable[[str, str], None]
"""(what, state), as the board takes it."""


@dataclass(frozen=True, slots=True)
class Environment:
    """How to start the peers; what is None can't be had here, and `missing` says why."""

    python: str | None
    java: tuple[str, ...] | None
    missing: dict[str, str]


def prepare(told: Told) -> Environment:
    """Installs and compiles what is not there yet. What can't be had is left out, with its reason."""
    missing: dict[str, str] = {}

    def attempt(name: str, make: Callable[[], object]) -> object:
        told(name, "preparing")
        try:
            made = make()
        except StackError as error:
            missing[name] = f"{error.problem} — fix: {error.fix}"
            told(name, "failed")
            return None
        told(name, "ready")
        return made

    python = attempt("Python peers", _python)
    java = attempt("Kafka Streams", _java)
    return Environment(str(python) if python is not None else None, java if isinstance(java, tuple) else None, missing)


def _python() -> Path:
    """The interpreter of the peers' environment; its requirements' digest names it, so that new ones make a new one."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    directory = PROJECT / ".local" / "peers" / digest
    python = directory / "bin" / "python"
    done = directory / "installed"
    if not done.exists():
        shutil.rmtree(directory, ignore_errors=True)
        uv = [sys.executable, "-m", "uv"]
        install = ["pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(REQUIREMENTS)]
        _run(
            [*uv, "venv", "--quiet", "--python", sys.executable, str(directory)], INSTALL_SECONDS, "the peers' packages"
        )
        _run([*uv, *install], INSTALL_SECONDS, "the peers' packages")
        done.touch()
    return python


def _java() -> tuple[str, ...]:
    """The command of the Kafka Streams peer, without its arguments."""
    compiler, java = shutil.which("javac"), shutil.which("java")
    if compiler is None or java is None:
        raise StackError("no Java compiler (javac) is installed", "install a JDK of version 17 or newer")
    library = jars.fetch(jar_cache(), STREAMS / "pom.xml", "Kafka Streams")
    source = STREAMS / "Missions.java"
    classes = library / f"classes-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    class_path = f"{library}/*"
    if not classes.exists():
        _run([compiler, "-d", str(classes), "-cp", class_path, str(source)], COMPILE_SECONDS, "the Kafka Streams peer")
    options = ("-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
    return (java, *options, "-cp", f"{classes}:{class_path}", "Missions")


def _run(command: list[str], seconds: float, what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    if done.returncode != 0:
        lines = tuple((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise StackError(
            f"could not make {what}: {lines[-1] if lines else done.returncode}", "see the lines above", lines
        )
