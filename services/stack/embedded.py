"""What the three embedded servers share: start once, wait until ready, stop, kill, start again."""

import os
import shutil
import signal
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from typing_extensions import override

from services.stack.errors import StackError
from services.stack.ports import require_free
from services.stack.processes import BackgroundProcess
from services.stack.server import Server

STOP_SECONDS = 30.0  # a broker or a database that has not ended by then is killed; both recover from their logs
BROKEN_DATA_FIX = "read the log; if the data is damaged, `make clean` forgets it"


class EmbeddedServer(Server):
    """A real server from a package, listening on 127.0.0.1, with its data below `directory`.

    `durable=False` gives up surviving a power cut for speed; only tests ask for that.
    """

    name: str
    stop_signal = signal.SIGTERM
    start_seconds = 30.0

    def __init__(self, directory: Path, port: int, *, durable: bool) -> None:
        self.directory = directory
        self.data = directory / "data" / self.name
        self.port = port
        self.durable = durable
        self._process = BackgroundProcess(self.name, directory)

    @property
    @override
    def pid(self) -> int | None:
        """The server's pid while it runs, else None."""
        return self._process.pid

    @property
    @override
    def identity(self) -> str | None:
        """`pid 42` while it runs."""
        return f"pid {self.pid}" if self.pid is not None else None

    @property
    def log_path(self) -> Path:
        """Where it writes its log."""
        return self._process.log_path

    @override
    def start(self) -> bool:
        """Start it and wait until it serves; False if it ran already. Raises StackError, leaving nothing behind."""
        if self.pid is not None:
            self._process.wait_until(self.is_ready, self.start_seconds, "make down, then make up")
            return False
        for port, variable_name in self._ports():
            require_free(port, self.title, variable_name)
        self.data.mkdir(parents=True, exist_ok=True)
        self._prepare()
        try:
            self._spawn(self._command())
            self._process.wait_until(self.is_ready, self.start_seconds, BROKEN_DATA_FIX)
        except BaseException:
            self.kill_hard()
            raise
        return True

    @override
    def stop(self) -> bool:
        """End it and wait until it has ended; False if it did not run."""
        return self._process.stop(self.stop_signal, STOP_SECONDS)

    @override
    def kill_hard(self) -> None:
        """SIGKILL it and its children."""
        self._process.kill_hard()

    @override
    def send(self, which: signal.Signals) -> None:
        """Send its main process a signal."""
        self._process.send(which)

    @override
    def forget(self) -> None:
        """Delete its data. Raises StackError while it runs."""
        if self.pid is not None:
            raise StackError(f"{self.title} is running (pid {self.pid})", "stop it first: make down")
        shutil.rmtree(self.data, ignore_errors=True)

    def _ports(self) -> list[tuple[int, str]]:
        return [(self.port, self.name)]

    @abstractmethod
    def _prepare(self) -> None:
        """Write what it needs before it starts; the same again does no harm."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The server's command line, which stays in the foreground."""

    def _spawn(self, command: Sequence[str]) -> None:
        self._process.start(command, self._environment())

    def _environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
