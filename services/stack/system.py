"""The whole system on one machine: servers, topics, schema and the five roles, started and stopped as one."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.stack import docker, providers
from services.stack.errors import StackError
from services.stack.paths import PROJECT
from services.stack.ports import LOOPBACK, Ports
from services.stack.processes import LOG_LINES_SHOWN, POLL_SECONDS
from services.stack.roles import COMMAND, READY_SECONDS, ROLE_PLANS, Role
from services.stack.server import Addresses, Progress, Servers, as_user, laid_over, quiet

PREPARE_SECONDS = 120.0
DSN = "MISSIONS_POSTGRES_DSN"
KEY_FILE = "MISSIONS_DEVELOPMENT_KEY_FILE"
RATE_LIMITS = "MISSIONS_RATE_LIMITS"
PREPARATIONS: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...] = (
    (("Topics", ("topics", "apply")),),
    (
        ("Schema", ("migrate",)),
        ("Database roles", ("database", "roles", "apply", "--login")),
        ("Missions", ("catalogue", "apply", "--if-empty")),
    ),
)
"""What is done once the servers run, by the same commands that an operator uses: chains of (shown as, arguments)."""


@dataclass(frozen=True)
class Running:
    """What the last `up` decided, so that a later process stops the same things."""

    provider: str
    addresses: Addresses
    ports: Ports


class LocalStack:
    """Everything below one directory: data, logs, pid files and `stack.env`.

    `environment` adds to what the roles get, beside this process's own variables; `role_environment` to what one role gets.
    `servers` are used in place of a choice of provider; they are the caller's, who stops them.
    """

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        *,
        durable: bool = True,
        environment: Mapping[str, str] | None = None,
        role_environment: Mapping[str, Mapping[str, str]] | None = None,
        servers: Servers | None = None,
    ) -> None:
        self.directory = directory
        self._record = directory / "run" / "stack.json"
        self._durable = durable
        self._environment = dict(environment or {})
        self._role_environment = dict(role_environment or {})
        self._given_servers = servers
        self._wanted_ports = ports
        self._running = self._read_record()
        self.ports = self._running.ports if self._running else ports
        self.roles = {plan.name: Role(plan, directory, self.ports) for plan in ROLE_PLANS}

    @property
    def api_url(self) -> str:
        """One base URL for every call of the HTTP contract."""
        return f"http://{LOOPBACK}:{self.ports.api}"

    @property
    def env_file(self) -> Path:
        """Where `up` writes the addresses, one `NAME=value` a line."""
        return self.directory / "stack.env"

    @property
    def provider(self) -> str | None:
        """Who provides the servers of the stack that is up; None if none is."""
        return self._running.provider if self._running else None

    def servers(self) -> Servers:
        """The servers of the stack that is up, or those that embedded would provide."""
        if self._given_servers is not None:
            return self._given_servers
        if self._running:
            return providers.recorded(self._running.provider, self.directory, self.ports, self._running.addresses)
        return providers.embedded_servers(self.directory, self.ports, durable=self._durable)

    def up(self, progress: Progress = quiet) -> None:
        """Start what does not run: servers, topics, schema, roles; wait until each role is ready.

        Raises StackError; then what this call started has been stopped again, and what ran before still runs.
        """
        with self._lock():
            servers = self._choose_servers(progress)
            before = {server.title for server in servers.all if server.identity is not None}
            for role in self.roles.values():
                role.require_ports()
            roles_before = [role for role in self.roles.values() if role.pid is not None]
            started: list[Role] = []
            try:
                addresses = servers.start(progress)
                self._write_record(Running(servers.provider, addresses, self.ports))
                self._prepare_servers(addresses, progress)
                started.extend(
                    role for role in self.roles.values() if role.start(self._role_variables(role, addresses))
                )
                self._wait_ready(progress)
                self._write_env_file(addresses)
            except BaseException:
                self._stop_roles(started, quiet)
                for server in servers.all:
                    if self._given_servers is None and server.title not in before:
                        server.stop()
                if not before and not roles_before:
                    self._forget_record()
                raise

    def down(self, progress: Progress = quiet) -> None:
        """Stop the roles, then the servers. Their data stays. Harmless when nothing runs."""
        with self._lock():
            self._stop_roles(list(self.roles.values()), progress)
            if self._given_servers is None:
                self.servers().stop(progress)
            self._forget_record()

    def clean(self) -> None:
        """Forget data, logs and addresses of a stopped stack; what was fetched stays. Raises StackError if it is up."""
        with self._lock():
            if self._running or any(role.pid for role in self.roles.values()):
                raise StackError("the stack is up", "stop it first: make down")
            for servers in self._all_servers():
                servers.forget()
            for name in ("data", "logs", "run"):
                shutil.rmtree(self.directory / name, ignore_errors=True)

    def restart_role(self, name: str) -> None:
        """Stop one role if it runs, start it and wait until it is ready."""
        role = self.roles[name]
        role.stop()
        role.start(self._role_variables(role, self.servers().addresses))
        role.wait_ready()

    def kill_role(self, name: str, which: signal.Signals = signal.SIGKILL) -> None:
        """Send one role a signal. With SIGKILL it is gone on return, with its children."""
        if which == signal.SIGKILL:
            self.roles[name].kill_hard()
        else:
            self.roles[name].send(which)

    def _choose_servers(self, progress: Progress) -> Servers:
        if self._given_servers is not None:
            return self._given_servers
        if self._running is None:
            choice = providers.choose(self.directory, self.ports, durable=self._durable, progress=progress)
            progress("Provider", choice.reason)
            return choice.servers
        if self._wanted_ports != self._running.ports:
            raise StackError("the stack is up on other ports", "make down, then make up; or unset MISSIONS_PORT_*")
        progress("Provider", f"{self._running.provider} (the stack is up already)")
        return self.servers()

    def _all_servers(self) -> Iterator[Servers]:
        yield providers.embedded_servers(self.directory, self.ports)
        if docker.unavailable_engine() is None:
            yield docker.servers(self.directory, self.ports)

    def _variables(self, addresses: Addresses) -> dict[str, str]:
        return laid_over(addresses.environment(), self._development(), self._environment)

    def _role_variables(self, role: Role, addresses: Addresses) -> dict[str, str]:
        """Each role signs in to a ledger of ours as its own database role, so that its grants are always put to the test."""
        variables = self._variables(addresses)
        own = {}
        if self.servers().provider != "external":
            own[DSN] = as_user(variables.get(DSN, addresses.postgres_dsn), f"missions_{role.name}")
        return laid_over(variables, own, self._role_environment.get(role.name, {}))

    def _prepare_servers(self, addresses: Addresses, progress: Progress) -> None:
        variables = self._variables(addresses)
        chains = PREPARATIONS
        if self.servers().provider == "external":  # whose users and rights are its owner's matter
            chains = tuple(tuple(step for step in chain if step[0] != "Database roles") for chain in PREPARATIONS)
        elif (password := urlsplit(addresses.postgres_dsn).password) is not None:
            variables["MISSIONS_DATABASE_ROLE_PASSWORD"] = unquote(password)
        with ThreadPoolExecutor(len(chains)) as pool:
            for done in [pool.submit(_prepare, chain, variables, progress) for chain in chains]:
                done.result()

    def _development(self) -> dict[str, str]:
        key = os.environ.get(KEY_FILE) or str(self.directory / "development-key.pem")
        limits = os.environ.get(RATE_LIMITS, "false")
        return {"MISSIONS_ENVIRONMENT": "development", KEY_FILE: key, RATE_LIMITS: limits}

    def _wait_ready(self, progress: Progress) -> None:
        waiting = list(self.roles.values())
        for role in waiting:
            progress(role.name, "starting")
        deadline = time.monotonic() + READY_SECONDS
        while waiting:
            for role in list(waiting):
                if role.poll_ready():
                    progress(role.name, "ready")
                    waiting.remove(role)
            if waiting and time.monotonic() > deadline:
                waiting[0].wait_ready(0.0)  # says which one, with its log
            time.sleep(POLL_SECONDS)

    def _stop_roles(self, roles: list[Role], progress: Progress) -> None:
        with ThreadPoolExecutor(len(self.roles)) as pool:
            for stop in [pool.submit(_stop, role, progress) for role in roles]:
                stop.result()

    def _write_env_file(self, addresses: Addresses) -> None:
        variables = {**self._variables(addresses), "MISSIONS_API_URL": self.api_url}
        _write_private(self.env_file, "".join(f"{name}={value}\n" for name, value in variables.items()))

    def _read_record(self) -> Running | None:
        try:
            saved = json.loads(self._record.read_text())
            running = Running(saved["provider"], Addresses(**saved["addresses"]), Ports(**saved["ports"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return running if self._is_alive(running) else None

    def _is_alive(self, running: Running) -> bool:
        """Whether anything of it still runs: after a reboot the record is all that is left."""
        if any(Role(plan, self.directory, running.ports).pid for plan in ROLE_PLANS):
            return True
        servers = providers.recorded(running.provider, self.directory, running.ports, running.addresses)
        return running.provider != "external" and any(server.identity for server in servers.all)

    def _write_record(self, running: Running) -> None:
        self._record.parent.mkdir(parents=True, exist_ok=True)
        _write_private(self._record, json.dumps(asdict(running)))
        self._running = running

    def _forget_record(self) -> None:
        self._record.unlink(missing_ok=True)
        self.env_file.unlink(missing_ok=True)
        self._running = None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One up, down or clean at a time; the lock goes with its process."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "stack.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(
                    f"another command is starting or stopping the stack in {self.directory}", "wait until it is done"
                ) from None
            yield


def _write_private(path: Path, text: str) -> None:
    """For its owner alone: an external server's address may carry a password."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def _prepare(chain: Iterable[tuple[str, Sequence[str]]], variables: Mapping[str, str], progress: Progress) -> None:
    for title, arguments in chain:
        progress(title, "applying")
        try:
            _run(title, arguments, laid_over(os.environ, variables))
        except BaseException:
            progress(title, "failed")
            raise
        progress(title, "ready")


def _run(title: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    shown = f"missions {' '.join(arguments)}"
    try:
        done = subprocess.run(  # noqa: S603 - our own command, no shell
            [*COMMAND, *arguments],
            env=dict(environment),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=PREPARE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"{title}: `{shown}` did not end in {PREPARE_SECONDS:.0f} s", "run it by hand") from error
    if done.returncode != 0:
        lines = tuple((done.stdout + done.stderr).strip().splitlines()[-LOG_LINES_SHOWN:])
        raise StackError(f"{title}: `{shown}` failed", "mend what it says, then run make up again", lines)


def _stop(role: Role, progress: Progress) -> None:
    progress(role.name, "stopping")
    progress(role.name, "stopped" if role.stop() else "did not run")
