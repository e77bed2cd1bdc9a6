"""Background processes: found again by pid and start time, ended with their children, and nobody else's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.stack.errors import StackError
from services.stack.processes import BackgroundProcess, identify

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def process(stack_directory: Path) -> Iterator[BackgroundProcess]:
    background = BackgroundProcess("worker", stack_directory)
    yield background
    background.stop(signal.SIGKILL, 5)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_another_object_finds_and_ends_what_was_started(process: BackgroundProcess, stack_directory: Path) -> None:
    process.start(python("import time; time.sleep(600)"), os.environ)
    pid = process.pid
    again = BackgroundProcess("worker", stack_directory)
    assert pid is not None
    assert again.pid == pid

    assert again.stop(signal.SIGTERM, 5)

    assert process.pid is None
    assert not again.stop(signal.SIGTERM, 5)


def test_a_pid_that_now_belongs_to_another_program_is_left_alone(
    process: BackgroundProcess, stack_directory: Path
) -> None:
    process.start(python("import time; time.sleep(600)"), os.environ)
    process.kill_hard()
    earlier = identify(os.getpid())  # a program that started before the stranger did
    assert earlier
    with subprocess.Popen(python("import time; time.sleep(600)")) as stranger:
        try:
            record = stack_directory / "run" / "worker.json"
            assert json.loads(record.read_text()).keys() == {"pid", "started"}
            record.write_text(json.dumps({"pid": stranger.pid, "started": earlier.started}))

            assert process.pid is None
            assert not process.stop(signal.SIGTERM, 5)
            process.kill_hard()

            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_one_that_ignores_the_request_is_killed_with_its_children(process: BackgroundProcess) -> None:
    process.start(python(STUBBORN), os.environ)
    process.wait_until(lambda: b"child" in process.log_path.read_bytes(), 30, "")
    child = int(process.log_path.read_text().split()[1])
    assert psutil.pid_exists(child)

    process.stop(signal.SIGTERM, 0.2)

    assert process.pid is None
    wait_gone(child)


def test_one_that_ends_at_once_shows_what_it_said(process: BackgroundProcess) -> None:
    process.start(python("print('no configuration'); raise SystemExit(3)"), os.environ)
    with pytest.raises(StackError) as ended:
        process.wait_until(lambda: False, 30, "write one")
    assert ended.value.details[0] == "no configuration"
    assert ended.value.fix == "write one"


def test_one_that_never_gets_ready_is_said_so(process: BackgroundProcess) -> None:
    process.start(python("import time; time.sleep(600)"), os.environ)
    with pytest.raises(StackError, match="was not ready"):
        process.wait_until(lambda: False, 0.1, "")


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"{pid} still runs"
        time.sleep(0.02)
