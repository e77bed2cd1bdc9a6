"""Fetches jars once, by Maven, and keeps them for every stack of this checkout: the broker's, or those of another pom.xml."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from services.stack.errors import StackError

POM = Path(__file__).with_name("pom.xml")
FETCH_SECONDS = 600.0
FETCH_FIX = "check the network and Maven's settings (~/.m2/settings.xml), then run it again"
MISSING_FIX = (
    "install Maven (Debian, Ubuntu: apt install maven · macOS: brew install maven), "
    "or use a Docker engine, or set MISSIONS_KAFKA_BOOTSTRAP, MISSIONS_POSTGRES_DSN and MISSIONS_REDIS_URL"
)


def cache_directory(cache: Path, pom: Path = POM) -> Path:
    """Where below `cache` the jars of the present pom.xml are, or will be."""
    return cache / hashlib.sha256(pom.read_bytes()).hexdigest()[:16]


def are_cached(cache: Path, pom: Path = POM) -> bool:
    """Whether the jars are there, so that Maven is not needed."""
    return any(cache_directory(cache, pom).glob("*.jar"))


def fetch(cache: Path, pom: Path = POM, what: str = "the Kafka broker") -> Path:
    """The directory with the jars, fetched if need be. Raises StackError: no Maven, no network."""
    target = cache_directory(cache, pom)
    if are_cached(cache, pom):
        return target
    maven = shutil.which("mvn")
    if maven is None:
        raise StackError(f"Maven (mvn) is not installed; it fetches {what} once", MISSING_FIX)
    partial = cache / f"{target.name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    command = [
        maven, "--batch-mode", "--quiet", "--file", str(pom), "dependency:copy-dependencies",
        "-DincludeScope=runtime", f"-DoutputDirectory={partial}",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS)  # noqa: S603
        if done.returncode != 0:
            lines = tuple((done.stdout + done.stderr).strip().splitlines()[:5])
            raise StackError(f"Maven could not fetch the jars of {what}", FETCH_FIX, lines)
        if not target.exists():  # another process may have been faster
            partial.rename(target)
    except subprocess.TimeoutExpired as error:
        raise StackError(f"Maven did not finish within {FETCH_SECONDS:.0f} s", FETCH_FIX) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target
