"""The whole system in the background: up, up again, down, and what is left when something fails."""

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.stack import external
from services.stack.errors import StackError
from services.stack.ports import LOOPBACK, Ports
from services.stack.server import Addresses
from services.stack.system import LocalStack
from tests.integration.stack.support import line_of, missions, processes_of


@pytest.fixture
def own(addresses: Addresses, fresh_database: str) -> Addresses:
    """The session's servers, with a ledger that nobody else uses."""
    return Addresses(addresses.kafka_bootstrap, fresh_database, addresses.redis_url)


@pytest.fixture
def environment(fresh_database: str) -> dict[str, str]:
    """Topics and keys that nobody else uses."""
    return {"MISSIONS_TOPIC_PREFIX": f"{fresh_database[-8:]}."}


@pytest.fixture
def stack(stack_directory: Path, own: Addresses, environment: dict[str, str]) -> Iterator[LocalStack]:
    system = LocalStack(stack_directory, Ports.free(), environment=environment, servers=external.servers(own))
    yield system
    system.down()


def pids(stack: LocalStack) -> dict[str, int | None]:
    return {name: role.pid for name, role in stack.roles.items()}


def test_the_commands_start_show_check_and_stop_everything(
    stack_directory: Path, own: Addresses, environment: dict[str, str]
) -> None:
    ports = Ports.free()
    extra = {**own.environment(), **environment}

    def command(*arguments: str) -> tuple[int, str]:
        done = missions(*arguments, directory=stack_directory, ports=ports, extra=extra)
        return done.returncode, done.stdout + done.stderr

    try:
        code, said = command("stack", "up")
        assert code == 0, said
        assert "Provider: external" in said
        assert "Ready" in said
        assert f"http://{LOOPBACK}:{ports.api}" in said
        variables = dict(line.split("=", 1) for line in (stack_directory / "stack.env").read_text().splitlines())
        assert variables["MISSIONS_API_URL"] == f"http://{LOOPBACK}:{ports.api}"
        assert own.environment().items() <= variables.items()
        running = {process.pid for process in processes_of(stack_directory)}

        code, said = command("stack", "up")
        assert code == 0, said
        assert {process.pid for process in processes_of(stack_directory)} == running

        code, said = command("stack", "status")
        assert code == 0, said
        assert len(re.findall(r"pid \d+", said)) == 5

        code, said = command("doctor")
        assert code == 0, said
        assert all(line_of(said, role).startswith("✓") for role in ("processor", "claims", "relay", "api", "scheduler"))

        code, said = command("stack", "logs", "relay")
        assert code == 0, said
        assert '"service": "relay"' in said
    finally:
        code, said = command("stack", "down")
    assert code == 0, said
    assert processes_of(stack_directory) == []
    assert not (stack_directory / "stack.env").exists()
    assert command("stack", "down")[0] == 0


def test_up_starts_a_dead_role_again_and_leaves_the_others(stack: LocalStack) -> None:
    stack.up()
    before = pids(stack)
    stack.kill_role("relay")
    assert stack.roles["relay"].pid is None

    stack.up()

    after = pids(stack)
    assert after.pop("relay") not in (None, before.pop("relay"))
    assert after == before


def test_one_role_restarts_and_one_can_be_stopped_and_continued(stack: LocalStack) -> None:
    stack.up()
    before = stack.roles["scheduler"].pid
    stack.restart_role("scheduler")
    assert stack.roles["scheduler"].pid not in (None, before)
    assert stack.roles["scheduler"].is_ready()

    stack.kill_role("scheduler", signal.SIGSTOP)
    assert not stack.roles["scheduler"].is_ready()
    stack.kill_role("scheduler", signal.SIGCONT)
    stack.roles["scheduler"].wait_ready()


def test_a_role_whose_port_is_taken_leaves_nothing_half_started(stack: LocalStack) -> None:
    with socket.create_server((LOOPBACK, stack.ports.api)):
        with pytest.raises(StackError) as refused:
            stack.up()
        assert f"port {stack.ports.api} for the api role is in use" in refused.value.problem
        assert "MISSIONS_PORT_API" in refused.value.fix
    assert set(pids(stack).values()) == {None}
    assert not stack.env_file.exists()


def test_a_role_that_refuses_to_start_shows_why_and_leaves_nothing(
    stack_directory: Path, own: Addresses, environment: dict[str, str]
) -> None:
    stack = LocalStack(
        stack_directory,
        Ports.free(),
        environment={**environment, "MISSIONS_LANES_MAX": "many"},
        servers=external.servers(own),
    )
    with pytest.raises(StackError) as failed:
        stack.up()
    assert failed.value.problem == "processor ended while starting"
    assert any("LANES_MAX" in line.upper() for line in failed.value.details)
    assert str(stack.roles["processor"].log_path) in failed.value.details[-1]
    assert set(pids(stack).values()) == {None}
    assert [each for each in processes_of(stack_directory) if each.status() != psutil.STATUS_ZOMBIE] == []


def test_clean_forgets_and_refuses_while_the_stack_is_up(stack: LocalStack) -> None:
    stack.up()
    with pytest.raises(StackError, match="the stack is up"):
        stack.clean()
    stack.down()
    stack.clean()
    assert not (stack.directory / "logs").exists()


def test_two_commands_at_once_are_refused(stack: LocalStack) -> None:
    other = LocalStack(stack.directory, stack.ports)
    told: list[str] = []

    def meanwhile(what: str, _state: str) -> None:
        if not told:
            told.append(what)
            with pytest.raises(StackError, match="another command"):
                other.down()

    stack.up(meanwhile)
    assert told
