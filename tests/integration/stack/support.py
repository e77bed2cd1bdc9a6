"""What the stack's tests share: the `missions` command on a stack of their own, and who runs in its directory."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from services.stack.ports import Ports, variable

UNSET = ("MISSIONS_KAFKA_BOOTSTRAP", "MISSIONS_POSTGRES_DSN", "MISSIONS_REDIS_URL", "MISSIONS_STACK_PROVIDER")


def run_module(
    module: str, *arguments: str, ports: Ports, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m module …` with these ports, and without servers that the environment of the tests may name."""
    inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
    chosen = {variable(name): str(port) for name, port in vars(ports).items()}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**inherited, **chosen, "COLUMNS": "250", **(extra or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def missions(
    *arguments: str, directory: Path, ports: Ports, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The `missions` command on the stack in `directory`."""
    local = {"MISSIONS_LOCAL_DIR": str(directory), **(extra or {})}
    return run_module("services.cli.main", *arguments, ports=ports, extra=local)


def line_of(output: str, what: str) -> str:
    """The doctor's line about something."""
    return next(line for line in output.splitlines() if line[3:].startswith(f"{what} "))


def processes_of(directory: Path) -> list[psutil.Process]:
    """Everything that runs with this directory in its command line or its environment, zombies aside."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
            zombie = process.status() == psutil.STATUS_ZOMBIE
        except psutil.Error:
            continue
        if process.pid != os.getpid() and not zombie and any(str(directory) in word for word in words):
            found.append(process)
    return found
