"""Who provides the servers: what is set decides, then an engine, then packages, and each choice is said."""

from pathlib import Path

import asyncpg
import pytest

from services.stack import docker
from services.stack.errors import StackError
from services.stack.ports import Ports
from services.stack.providers import choose
from services.stack.server import Addresses, Servers

THREE = Addresses(
    "kafka.example:9092", "postgresql://u:p@db.example/missions", "redis://cache.example:6379/0"
).environment()


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")


def test_three_variables_mean_external_servers(tmp_path: Path) -> None:
    choice = choose(tmp_path, Ports(), environment=THREE)
    assert choice.servers.provider == "external"
    assert choice.servers.addresses == Addresses.from_environment(THREE)


def test_screens_show_no_password(tmp_path: Path) -> None:
    shown = choose(tmp_path, Ports(), environment=THREE).servers.postgres.shown_address
    assert shown == "postgresql://u:***@db.example/missions"


@pytest.mark.parametrize("missing", sorted(THREE))
def test_some_of_the_variables_name_the_missing_ones(tmp_path: Path, missing: str) -> None:
    with pytest.raises(StackError) as refused:
        choose(tmp_path, Ports(), environment={name: value for name, value in THREE.items() if name != missing})
    assert refused.value.problem.startswith(f"{missing} is not set")


@pytest.mark.usefixtures("no_engine")
def test_a_shell_that_has_read_stack_env_still_means_this_stack(tmp_path: Path) -> None:
    own = choose(tmp_path, Ports(), environment={}).servers.addresses
    assert choose(tmp_path, Ports(), environment=own.environment()).servers.provider == "embedded"


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_servers_come_from_packages_and_the_reason_is_said(tmp_path: Path) -> None:
    choice = choose(tmp_path, Ports(), environment={})
    assert choice.servers.provider == "embedded"
    assert choice.reason == "embedded (no Docker engine answers)"


@pytest.mark.usefixtures("no_engine")
def test_a_forced_engine_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no Docker engine answers"):
        choose(tmp_path, Ports(), environment={"MISSIONS_STACK_PROVIDER": "docker"})


def test_embedded_can_be_forced_and_an_unknown_provider_is_refused(tmp_path: Path) -> None:
    assert choose(tmp_path, Ports(), environment={"MISSIONS_STACK_PROVIDER": "embedded"}).servers.provider == "embedded"
    with pytest.raises(StackError, match="external, docker, embedded"):
        choose(tmp_path, Ports(), environment={"MISSIONS_STACK_PROVIDER": "podman"})


def test_external_servers_are_checked_and_never_stopped(tmp_path: Path, servers: Servers) -> None:
    given = choose(tmp_path, Ports(), environment=servers.addresses.environment()).servers
    with given:
        assert all(server.is_ready() for server in given.all)
    assert all(server.is_ready() for server in servers.all)


def test_an_external_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    nobody = Addresses("127.0.0.1:1", "postgresql://u@127.0.0.1:1/m", "redis://127.0.0.1:1/0")
    with pytest.raises(StackError) as refused:
        choose(tmp_path, Ports(), environment=nobody.environment()).servers.start()
    assert refused.value.problem == "Kafka does not answer at 127.0.0.1:1"
    assert "MISSIONS_KAFKA_BOOTSTRAP" in refused.value.fix


def test_a_port_variable_that_is_no_port_is_refused() -> None:
    with pytest.raises(StackError, match="MISSIONS_PORT_API='eighty' is not a port"):
        Ports.from_environment({"MISSIONS_PORT_API": "eighty"})
    assert Ports.from_environment({"MISSIONS_PORT_API": "8080"}).api == 8080


async def test_containers_keep_their_data_and_leave_nothing(stack_directory: Path) -> None:
    if missing := docker.unavailable():
        pytest.skip(missing.problem)
    containers = choose(stack_directory, Ports.free(), environment={"MISSIONS_STACK_PROVIDER": "docker"}).servers
    try:
        with containers:
            running = [server.identity for server in containers.all]
            containers.start()
            assert [server.identity for server in containers.all] == running
            connection = await asyncpg.connect(containers.addresses.postgres_dsn)
            await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            await connection.close()
        assert [server.identity for server in containers.all] == [None, None, None]

        containers.postgres.start()
        connection = await asyncpg.connect(containers.addresses.postgres_dsn)
        assert await connection.fetchval("SELECT answer FROM kept") == 42
        await connection.close()
    finally:
        containers.stop()
        containers.forget()
