"""What the peers run in: a Python environment of their own, and a compiled Kafka Streams program. Made once, then kept."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.installed import INSTALL_SECONDS, once, run
from services.stack.errors import StackError
from services.stack.kafka import jars
from services.stack.paths import PROJECT, jar_cache

REQUIREMENTS = PROJECT / "requirements" / "peers.txt"
STREAMS = Path(__file__).with_name("kafka_streams")
WHAT = "the peers' packages"
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

    def install(directory: Path) -> None:
        python = str(_interpreter(directory))
        uv = [sys.executable, "-m", "uv"]
        packages = ["pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", str(REQUIREMENTS)]
        run([*uv, "venv", "--quiet", "--python", sys.executable, str(directory)], INSTALL_SECONDS, WHAT)
        run([*uv, *packages], INSTALL_SECONDS, WHAT)

    return _interpreter(once("peers", [REQUIREMENTS], install))


def _interpreter(directory: Path) -> Path:
    return directory / "bin" / "python"


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
        run([compiler, "-d", str(classes), "-cp", class_path, str(source)], COMPILE_SECONDS, "the Kafka Streams peer")
    options = ("-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
    return (java, *options, "-cp", f"{classes}:{class_path}", "Missions")
