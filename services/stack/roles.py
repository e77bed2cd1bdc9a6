"""The five roles as background processes: command, environment, readiness."""

import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.stack.paths import PROJECT
from services.stack.ports import LOOPBACK, Ports, require_free
from services.stack.processes import BackgroundProcess
from services.stack.server import laid_over

COMMAND = (sys.executable, "-m", "services.cli.main")
READY_SECONDS = 60.0  # a cold start imports much and joins a consumer group
STOP_SECONDS = 20.0  # a role finishes the batch or the request in hand; killed later than that it loses nothing either
PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class RolePlan:
    """What tells one role from another: the names in `Ports` of its ports."""

    name: str
    inside: str
    http: str | None = None


ROLE_PLANS = (
    RolePlan("processor", "processor_inside"),
    RolePlan("claims", "claims_inside", "claims"),
    RolePlan("relay", "relay_inside"),
    RolePlan("api", "api_inside", "api"),
    RolePlan("scheduler", "scheduler_inside"),
)


class Role:
    """One role of one stack."""

    def __init__(self, plan: RolePlan, directory: Path, ports: Ports) -> None:
        self.name = plan.name
        self.inside_port: int = getattr(ports, plan.inside)
        self.http_port: int | None = getattr(ports, plan.http) if plan.http else None
        self._plan = plan
        self._ports = ports
        self._process = BackgroundProcess(plan.name, directory)
        self._fix = f"read the log; `make doctor` checks what the {plan.name} role needs"

    @property
    def pid(self) -> int | None:
        """The pid while it runs, else None."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs, or if another process started it."""
        return self._process.exit_code

    @property
    def log_path(self) -> Path:
        """Where its output goes."""
        return self._process.log_path

    @property
    def ready_url(self) -> str:
        """Answers 200 when the role does its work."""
        return f"http://{LOOPBACK}:{self.inside_port}/readyz"

    def is_ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        try:
            with urllib.request.urlopen(self.ready_url, timeout=PROBE_SECONDS) as answer:  # noqa: S310 - always http
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def require_ports(self) -> None:
        """Raises StackError if it does not run and a port of its own is taken."""
        if self.pid is None:
            require_free(self.inside_port, f"the {self.name} role's probes", self._plan.inside)
            if self._plan.http and self.http_port:
                require_free(self.http_port, f"the {self.name} role", self._plan.http)

    def start(self, environment: Mapping[str, str]) -> bool:
        """Start it, without waiting; False if it runs. `environment` says where the servers are.

        Raises StackError if a port of its own is taken.
        """
        if self.pid is not None:
            return False
        self.require_ports()
        own = {"MISSIONS_INSIDE_PORT": str(self.inside_port)}
        if self.http_port:
            own["MISSIONS_HTTP_PORT"] = str(self.http_port)
        if self.name == "api":
            own["MISSIONS_CLAIMS_URL"] = f"http://{LOOPBACK}:{self._ports.claims}"
        self._process.start([*COMMAND, self.name], laid_over(os.environ, environment, own), working_directory=PROJECT)
        return True

    def poll_ready(self) -> bool:
        """Whether it is ready now. Raises StackError with its last log lines if it has ended."""
        return self._process.poll_ready(self.is_ready, self._fix)

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until it is ready. Raises StackError with its last log lines if it ends or takes longer."""
        self._process.wait_until(self.is_ready, seconds, self._fix)

    def stop(self) -> bool:
        """Ask it to end (SIGTERM), kill it when it does not; False if it did not run."""
        return self._process.stop(signal.SIGTERM, STOP_SECONDS)

    def send(self, which: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        self._process.send(which)

    def kill_hard(self) -> None:
        """SIGKILL it and its children; returns when it is gone."""
        self._process.kill_hard()
