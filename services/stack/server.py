"""What every server of the stack can do, whoever provides it, and the three of them as one thing."""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from services.adapters.addresses import redact
from services.adapters.secret_files import SUFFIX

Progress = Callable[[str, str], None]
"""Told (what, state) as things start and stop: ("Kafka", "ready")."""


def quiet(_what: str, _state: str) -> None:
    """A Progress that tells nobody."""


class Server(ABC):
    """Kafka, Postgres or Redis."""

    title: str

    @property
    @abstractmethod
    def address(self) -> str:
        """What a client connects to: `host:port`, `postgresql://…` or `redis://…`."""

    @property
    @abstractmethod
    def identity(self) -> str | None:
        """What runs, for a person to look at ("pid 42"); None if it does not run."""

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """Its pid on this machine; None if it does not run, or runs elsewhere."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves clients now."""

    @property
    def shown_address(self) -> str:
        """Its address without the password, for screens and logs."""
        return redact(self.address)

    @abstractmethod
    def start(self) -> bool:
        """Start it and wait until it serves; False if it ran already. Raises StackError, leaving nothing behind."""

    @abstractmethod
    def stop(self) -> bool:
        """End it and wait until it has ended; False if it did not run. Its data stays."""

    @abstractmethod
    def send(self, which: signal.Signals) -> None:
        """Send its main process a signal (SIGSTOP and SIGCONT make a server that hangs)."""

    @abstractmethod
    def kill_hard(self) -> None:
        """SIGKILL it, as a power cut would."""

    @abstractmethod
    def forget(self) -> None:
        """Delete the data of the stopped server."""

    def restart(self) -> None:
        """Stop it if it runs, and start it with the data it had."""
        self.stop()
        self.start()


@dataclass(frozen=True)
class Addresses:
    """Where clients find the servers: `host:port`, `postgresql://…`, `redis://…`."""

    kafka_bootstrap: str
    postgres_dsn: str
    redis_url: str

    def environment(self) -> dict[str, str]:
        """The variables that every role reads them from."""
        return {
            "MISSIONS_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "MISSIONS_POSTGRES_DSN": self.postgres_dsn,
            "MISSIONS_REDIS_URL": self.redis_url,
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Addresses":
        """The reverse of `environment()`, also from the files that `NAME_FILE` names; what is not there is the empty string."""
        names = ("MISSIONS_KAFKA_BOOTSTRAP", "MISSIONS_POSTGRES_DSN", "MISSIONS_REDIS_URL")
        return cls(*(environment.get(name) or _from_file(environment.get(name + SUFFIX)) for name in names))


def _from_file(path: str | None) -> str:
    try:
        return Path(path).read_text("utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError):
        return ""  # the role that reads it says what is wrong with it


def as_user(dsn: str, user: str) -> str:
    """The same database for another user with the same password."""
    parts = urlsplit(dsn)
    credentials, at, host = parts.netloc.rpartition("@")
    password = credentials.partition(":")[1:]
    return parts._replace(netloc=f"{user}{''.join(password)}{at or '@'}{host}").geturl()


def laid_over(*environments: Mapping[str, str]) -> dict[str, str]:
    """Environments one over the other. `NAME` and `NAME_FILE` are one setting: the later one of them holds."""
    merged: dict[str, str] = {}
    for environment in environments:
        for name in environment:
            merged.pop(name.removesuffix(SUFFIX) if name.endswith(SUFFIX) else name + SUFFIX, None)
        merged |= environment
    return merged


@dataclass(frozen=True)
class Servers:
    """Kafka, Postgres and Redis from one provider ("external", "docker" or "embedded").

    A context manager: started on entry, stopped on exit. `kafka`, `postgres` and `redis` can be used alone too.
    """

    provider: str
    kafka: Server
    postgres: Server
    redis: Server

    @property
    def all(self) -> tuple[Server, Server, Server]:
        """The three, in the order in which they are shown."""
        return (self.kafka, self.postgres, self.redis)

    @property
    def addresses(self) -> Addresses:
        """Where they are, or will be once started."""
        return Addresses(self.kafka.address, self.postgres.address, self.redis.address)

    def start(self, progress: Progress = quiet) -> Addresses:
        """Start at once what does not run yet, and wait until all serve.

        Raises StackError if one fails; then those that this call started are stopped again.
        """
        with ThreadPoolExecutor(len(self.all)) as pool:
            starts = [(server, pool.submit(_start, server, progress)) for server in self.all]
        failed = [error for _, start in starts if (error := start.exception())]
        if failed:
            for server, start in starts:
                if _did_start(start):
                    server.stop()
            raise failed[0]
        return self.addresses

    def stop(self, progress: Progress = quiet) -> None:
        """Stop them at once and wait until they have ended."""
        with ThreadPoolExecutor(len(self.all)) as pool:
            for stop in [pool.submit(_stop, server, progress) for server in self.all]:
                stop.result()

    def forget(self) -> None:
        """Delete the data of stopped servers. Raises StackError if one runs."""
        for server in self.all:
            server.forget()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _start(server: Server, progress: Progress) -> bool:
    progress(server.title, "starting")
    try:
        started = server.start()
    except BaseException:
        progress(server.title, "failed")
        raise
    progress(server.title, "ready" if started else "ready (ran already)")
    return started


def _did_start(start: Future[bool]) -> bool:
    return start.exception() is None and start.result()


def _stop(server: Server, progress: Progress) -> None:
    progress(server.title, "stopping")
    progress(server.title, "stopped" if server.stop() else "did not run")
