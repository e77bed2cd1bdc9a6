"""Real servers for tests: one set per pytest session on free ports, and a new empty database for whoever asks."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from services.stack.ports import Ports, free_ports
from services.stack.providers import choose
from services.stack.server import Addresses, Servers

DatabaseFactory = Callable[..., Awaitable[str]]


def free_port() -> int:
    """A port that nothing listens on now."""
    return free_ports(1)[0]


IN_MEMORY = Path("/dev/shm")
IN_MEMORY_BYTES_MIN = 4 * 2**30
"""Room that the servers of a session may need there: a container often has 64 MiB, and a full disk would fail every test."""


def roomy_memory() -> Path | None:
    """Where files are kept in memory, if there is room. A disk would write hundreds of databases that nobody reads again."""
    is_roomy = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free >= IN_MEMORY_BYTES_MIN
    return IN_MEMORY if is_roomy else None


@contextmanager
def temporary_directory(parent: Path | None = None) -> Iterator[Path]:
    """A directory that goes away after the block, and that Postgres may enter when it runs as another user."""
    directory = Path(tempfile.mkdtemp(prefix="missions-test-", dir=parent)).resolve()
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def stack_directory() -> Iterator[Path]:
    """A directory for a stack of the test's own."""
    with temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Iterator[Servers]:
    """Kafka, Postgres and Redis, started once per session in a directory of their own and forgotten after it.

    Whoever stops or kills one starts it again before the test ends: others use it too.
    """
    with temporary_directory(roomy_memory()) as directory:
        choice = choose(directory, Ports.free(), durable=False)
        pytestconfig.stash[CHOSEN] = choice.reason
        try:
            with stopped_if_we_are_killed(directory), choice.servers as running:
                yield running
        finally:
            choice.servers.forget()


@contextmanager
def stopped_if_we_are_killed(directory: Path, *stop: str) -> Iterator[None]:
    """Ends the embedded servers in `directory` when this process goes away without ending them itself.

    A watcher waits for the end of its input: the kernel closes that for us, even after `kill -9`. Then it runs `stop`, Python's
    arguments before the directory, and removes the directory.
    """
    arguments = stop or ("-m", "services.stack", "down", "--directory")
    down = 'cat; "$@"; for last; do :; done; rm -rf "$last"'
    with subprocess.Popen(
        ["sh", "-c", down, "sh", sys.executable, *arguments, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as watcher:
        try:
            yield
        finally:
            os.killpg(watcher.pid, signal.SIGKILL)


CHOSEN = pytest.StashKey[str]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says which servers the session used."""
    if CHOSEN in config.stash:
        terminalreporter.write_line(f"servers: {config.stash[CHOSEN]}")


@pytest.fixture(scope="session")
def addresses(servers: Servers) -> Addresses:
    """Where the session's servers are."""
    return servers.addresses


@pytest.fixture(scope="session")
def postgres_dsn_factory(addresses: Addresses) -> DatabaseFactory:
    """`await postgres_dsn_factory()` makes a new empty database; `template=` names one to clone. Gives its DSN.

    It stays until the session ends, or until `dropped_after` drops it.
    """

    async def make(template: str = "template0") -> str:
        name = f"t_{uuid.uuid4().hex[:12]}"
        await _execute(addresses.postgres_dsn, f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return urlsplit(addresses.postgres_dsn)._replace(path=f"/{name}").geturl()

    return make


@asynccontextmanager
async def dropped_after(dsn: str) -> AsyncIterator[str]:
    """Drops the database after the block. One ledger is 600 files: those of all tests together take minutes to delete."""
    try:
        yield dsn
    finally:
        parts = urlsplit(dsn)
        name = parts.path.removeprefix("/")
        await _execute(parts._replace(path="/postgres").geturl(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def fresh_database(postgres_dsn_factory: DatabaseFactory) -> AsyncIterator[str]:
    """The DSN of a new empty database."""
    async with dropped_after(await postgres_dsn_factory()) as dsn:
        yield dsn


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
