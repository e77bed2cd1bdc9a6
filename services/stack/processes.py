"""Background processes that the stack starts, finds again by pid and start time, and ends."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.stack.errors import StackError

if TYPE_CHECKING:
    import psutil

POLL_SECONDS = 0.05
LOG_LINES_SHOWN = 12
LOG_BYTES_KEPT = 20_000_000  # a longer log is put aside at the next start, so that a stack left alone fills no disk
KILL_WAIT_SECONDS = 10.0  # after SIGKILL only the kernel can be slow


@dataclass(frozen=True)
class Identity:
    """A process that cannot be taken for another one: a pid is used again, its start time is not."""

    pid: int
    started: str


def identify(pid: int) -> Identity | None:
    """The running process with this pid; None if there is none, or if it has ended and waits for its parent."""
    import psutil  # here and below: an image that only runs roles goes without it

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Identity(pid, _start_mark(process))
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def _start_mark(process: "psutil.Process") -> str:
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return f"{process.create_time():.2f}"
    # Ticks since boot stay the same when somebody sets the clock; the boot's id tells two boots apart.
    ticks = stat.read_text().rpartition(")")[2].split()[19]
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{ticks}"


class BackgroundProcess:
    """One named process of a stack: its pid file in `run/`, its log in `logs/`, both below `directory`."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.log_path = directory / "logs" / f"{name}.log"
        self._record = directory / "run" / f"{name}.json"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it runs, else None."""
        identity = self._identity()
        return identity.pid if identity else None

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs, or if another process started it."""
        return self._child.returncode if self.pid is None and self._child is not None else None

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        user: int | None = None,
        group: int | None = None,
        working_directory: Path | None = None,
    ) -> None:
        """Start it in a session of its own, so that it outlives this terminal; `user` and `group` only as root."""
        for path in (self.log_path, self._record):
            path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_KEPT:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own command, no shell
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=working_directory,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=None if user is None else (),
            )
        identity = identify(self._child.pid)
        if identity is None:  # it has ended already
            self._child.wait()
            self._forget()
            return
        partial = self._record.with_suffix(".new")
        partial.write_text(json.dumps({"pid": identity.pid, "started": identity.started}))
        partial.replace(self._record)

    def poll_ready(self, ready: Callable[[], bool], fix: str) -> bool:
        """Whether it is ready now. Raises StackError with the log's last lines if the process has ended."""
        if ready():
            return True
        if self.pid is None:
            raise StackError(f"{self.name} ended while starting", fix, self._log_details())
        return False

    def wait_until(self, ready: Callable[[], bool], seconds: float, fix: str) -> None:
        """Wait on `ready`. Raises StackError with the log's last lines if the process ends first or time runs out."""
        deadline = time.monotonic() + seconds
        while not self.poll_ready(ready, fix):
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {seconds:.0f} s", fix, self._log_details())
            time.sleep(POLL_SECONDS)

    def stop(self, ask: signal.Signals, seconds: float) -> bool:
        """Ask it to end, wait, and kill it with its children when `seconds` have passed. False if it did not run."""
        identity = self._identity()
        if identity:
            family = _family(identity.pid)
            self.send(ask)
            if not self._wait_gone(identity, seconds):
                self._kill(family)
                self._wait_gone(identity, KILL_WAIT_SECONDS)
        self._forget()
        return identity is not None

    def kill_hard(self) -> None:
        """SIGKILL it and its children at once, as a power cut would; returns when it is gone."""
        identity = self._identity()
        if identity:
            self._kill(_family(identity.pid))
            self._wait_gone(identity, KILL_WAIT_SECONDS)

    def send(self, which: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if pid := self.pid:
            try:
                os.kill(pid, which)
            except ProcessLookupError:
                return

    def _identity(self) -> Identity | None:
        """What the record names, if that very process still runs."""
        identity = self._recorded()
        if identity is not None and identify(identity.pid) == identity:
            return identity
        if self._child is not None and identify(self._child.pid) is None:
            self._child.wait()  # it has ended: take it off the process table
        return None

    def _recorded(self) -> Identity | None:
        try:
            saved = json.loads(self._record.read_text())
            return Identity(int(saved["pid"]), str(saved["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _wait_gone(self, identity: Identity, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._identity() == identity:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _kill(self, family: "list[psutil.Process]") -> None:
        import psutil

        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs([each for each in family if each.pid != os.getpid()], timeout=KILL_WAIT_SECONDS)

    def _forget(self) -> None:
        self._record.unlink(missing_ok=True)

    def _log_details(self) -> tuple[str, ...]:
        return (*log_tail(self.log_path), f"(log: {self.log_path})")


def log_tail(path: Path, lines: int = LOG_LINES_SHOWN) -> tuple[str, ...]:
    """The last lines of a log, none if it is not there."""
    try:
        return tuple(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ()


def _family(pid: int) -> "list[psutil.Process]":
    import psutil

    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
