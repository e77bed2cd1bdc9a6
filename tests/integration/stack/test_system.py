"""The whole system in the background: up, up again, down, and what is left when something fails."""

import re
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.stack import external
from services.stack.errors import StackError
from services.stack.ports import LOOPBACK, Ports
from services.stack.server import Addresses
from services.stack.system import LocalStack
from tests.integration.stack.support import line_of, missions, processes_of
from tests.support.stack import DatabaseFactory, temporary_directory


@dataclass(frozen=True)
class Corner:
    """A part of the session's servers that nobody else uses: a ledger, and a prefix for topics and keys."""

    addresses: Addresses
    environment: dict[str, str]


async def corner_of(addresses: Addresses, postgres_dsn_factory: DatabaseFactory) -> Corner:
    dsn = await postgres_dsn_factory()
    return Corner(
        Addresses(addresses.kafka_bootstrap, dsn, addresses.redis_url), {"MISSIONS_TOPIC_PREFIX": f"{dsn[-8:]}."}
    )


@pytest.fixture
async def corner(addresses: Addresses, postgres_dsn_factory: DatabaseFactory) -> Corner:
    return await corner_of(addresses, postgres_dsn_factory)


@pytest.fixture(scope="module")
async def stack(addresses: Addresses, postgres_dsn_factory: DatabaseFactory) -> AsyncIterator[LocalStack]:
    """A stack that is up; a test that leaves it otherwise brings it up again."""
    corner = await corner_of(addresses, postgres_dsn_factory)
    with temporary_directory() as directory:
        system = system_in(directory, corner)
        try:
            system.up()
            yield system
        finally:
            system.down()


def system_in(directory: Path, corner: Corner, **extra: str) -> LocalStack:
    environment = {**corner.environment, **extra}
    return LocalStack(directory, Ports.free(), environment=environment, servers=external.servers(corner.addresses))


def pids(stack: LocalStack) -> dict[str, int | None]:
    return {name: role.pid for name, role in stack.roles.items()}


def test_the_commands_start_show_check_and_stop_everything(stack_directory: Path, corner: Corner) -> None:
    ports = Ports.free()
    extra = {**corner.addresses.environment(), **corner.environment}

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
        assert corner.addresses.environment().items() <= variables.items()
        assert (stack_directory / "stack.env").stat().st_mode & 0o077 == 0  # it may hold a password
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
    assert command("stack", "clean")[0] == 0
    assert not (stack_directory / "logs").exists()


def test_up_starts_a_dead_role_again_and_leaves_the_others(stack: LocalStack) -> None:
    before = pids(stack)
    stack.kill_role("relay")
    assert stack.roles["relay"].pid is None

    stack.up()

    after = pids(stack)
    assert after.pop("relay") not in (None, before.pop("relay"))
    assert after == before


def test_one_role_restarts_and_one_can_be_stopped_and_continued(stack: LocalStack) -> None:
    before = stack.roles["scheduler"].pid
    stack.restart_role("scheduler")
    assert stack.roles["scheduler"].pid not in (None, before)
    assert stack.roles["scheduler"].is_ready()

    stack.kill_role("scheduler", signal.SIGSTOP)
    assert not stack.roles["scheduler"].is_ready()
    stack.kill_role("scheduler", signal.SIGCONT)
    stack.roles["scheduler"].wait_ready()


def test_two_commands_at_once_are_refused(stack: LocalStack) -> None:
    refused: list[str] = []

    def meanwhile(_what: str, _state: str) -> None:
        with pytest.raises(StackError) as error:
            LocalStack(stack.directory, stack.ports).down()
        refused.append(error.value.problem)

    stack.up(meanwhile)
    assert "another command" in refused[0]
    assert None not in pids(stack).values()


def test_clean_is_refused_while_the_stack_is_up(stack: LocalStack) -> None:
    with pytest.raises(StackError, match="the stack is up"):
        stack.clean()
    assert None not in pids(stack).values()


def test_a_role_whose_port_is_taken_leaves_nothing_half_started(stack_directory: Path, corner: Corner) -> None:
    system = system_in(stack_directory, corner)
    with socket.create_server((LOOPBACK, system.ports.api)):
        with pytest.raises(StackError) as refused:
            system.up()
        assert f"port {system.ports.api} for the api role is in use" in refused.value.problem
        assert "MISSIONS_PORT_API" in refused.value.fix
    assert set(pids(system).values()) == {None}
    assert processes_of(stack_directory) == []
    assert not system.env_file.exists()


def test_a_role_that_refuses_to_start_shows_why_and_leaves_nothing(stack_directory: Path, corner: Corner) -> None:
    system = system_in(stack_directory, corner, MISSIONS_LANES_MAX="many")
    with pytest.raises(StackError) as failed:
        system.up()
    assert failed.value.problem == "processor ended while starting"
    assert any("LANES_MAX" in line.upper() for line in failed.value.details)
    assert str(system.roles["processor"].log_path) in failed.value.details[-1]
    assert set(pids(system).values()) == {None}
    assert processes_of(stack_directory) == []
