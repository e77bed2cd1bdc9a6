"""The stack's servers: started once, kept over a stop, gone after it, and clear about what went wrong."""

import os
import re
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from services.stack.errors import StackError
from services.stack.ports import LOOPBACK, Ports
from services.stack.postgres import PostgresServer
from services.stack.server import Addresses, Servers
from services.stack.valkey import ValkeyServer
from tests.integration.stack.support import processes_of, run_module
from tests.support.stack import free_port


def stack_command(
    action: str, directory: Path, ports: Ports, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a person gets from `python -m services.stack`."""
    return run_module("services.stack", action, "--directory", str(directory), ports=ports, extra=extra)


@pytest.fixture
def redis_server(stack_directory: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(stack_directory, free_port(), durable=True)
    yield server
    server.stop()


@pytest.fixture
def postgres_server(stack_directory: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(stack_directory, free_port(), durable=True)
    yield server
    server.stop()


def test_up_twice_starts_once_and_down_leaves_no_process(stack_directory: Path) -> None:
    ports = Ports.free()
    try:
        first = stack_command("up", stack_directory, ports)
        assert first.returncode == 0, first.stderr
        assert f"MISSIONS_KAFKA_BOOTSTRAP={LOOPBACK}:{ports.kafka}" in first.stdout
        running = {process.pid for process in processes_of(stack_directory)}
        status = stack_command("status", stack_directory, ports).stdout
        assert len(re.findall(r"pid \d+", status)) == 3

        second = stack_command("up", stack_directory, ports)

        assert (second.returncode, second.stdout) == (0, first.stdout)
        assert {process.pid for process in processes_of(stack_directory)} == running
        assert stack_command("status", stack_directory, ports).stdout == status
    finally:
        down = stack_command("down", stack_directory, ports)
    assert down.returncode == 0, down.stderr
    assert processes_of(stack_directory) == []
    assert "pid" not in stack_command("status", stack_directory, ports).stdout
    assert stack_command("down", stack_directory, ports).returncode == 0


def test_servers_listen_on_this_machine_alone(servers: Servers) -> None:
    if servers.provider != "embedded":
        pytest.skip("only embedded servers are processes of ours to look into")
    for server in servers.all:
        assert server.pid is not None
        listening = [each for each in psutil.Process(server.pid).net_connections() if each.status == psutil.CONN_LISTEN]
        assert listening
        assert {each.laddr.ip.removeprefix("::ffff:") for each in listening} == {LOOPBACK}, server.title


async def test_postgres_keeps_its_data_over_stop_and_start(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    connection = await asyncpg.connect(postgres_server.address)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()

    postgres_server.stop()
    assert not postgres_server.is_ready()
    postgres_server.start()

    connection = await asyncpg.connect(postgres_server.address)
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()


async def test_postgres_comes_back_after_kill_9_with_what_was_committed(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    connection = await asyncpg.connect(postgres_server.address)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    postgres_server.kill_hard()
    assert postgres_server.pid is None
    connection.terminate()
    postgres_server.start()

    connection = await asyncpg.connect(postgres_server.address)
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()


def test_postgres_runs_below_a_directory_that_is_closed_to_other_users(
    postgres_server: PostgresServer, stack_directory: Path
) -> None:
    stack_directory.chmod(0o700)  # as a checkout below /root is; run by root, Postgres is another user
    postgres_server.start()
    assert postgres_server.is_ready()
    assert stack_directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("end", [ValkeyServer.stop, ValkeyServer.kill_hard])
async def test_redis_comes_back_empty_and_never_with_an_old_copy(
    redis_server: ValkeyServer, end: Callable[[ValkeyServer], None]
) -> None:
    redis_server.start()
    async with Redis.from_url(redis_server.address) as client:
        await client.set("copy", "old")

    end(redis_server)
    redis_server.start()

    async with Redis.from_url(redis_server.address) as client:
        assert await client.dbsize() == 0


async def test_kafka_keeps_transactions_over_kill_9(servers: Servers, addresses: Addresses) -> None:
    topic = f"kept-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=addresses.kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    large = b"x" * 2_000_000  # more than Kafka's own default lets through: a dead letter with its record inside
    await send_transaction(addresses, topic, large)

    servers.kafka.kill_hard()
    servers.kafka.start()

    await send_transaction(addresses, topic, b"after")
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=addresses.kafka_bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        assert [(await consumer.getone()).value for _ in range(2)] == [large, b"after"]
    finally:
        await consumer.stop()


async def send_transaction(addresses: Addresses, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=addresses.kafka_bootstrap, transactional_id=topic, max_request_size=4_000_000
    )
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


def test_a_port_in_use_is_said_with_its_holder_and_the_way_out(redis_server: ValkeyServer) -> None:
    with socket.create_server((LOOPBACK, redis_server.port)):
        with pytest.raises(StackError) as refused:
            redis_server.start()
        assert f"port {redis_server.port} for Redis is in use" in refused.value.problem
        assert f"(pid {os.getpid()})" in refused.value.problem
        assert "MISSIONS_PORT_REDIS" in refused.value.fix
        assert redis_server.pid is None


def test_without_maven_one_line_says_how_to_get_the_broker(stack_directory: Path) -> None:
    nothing = stack_directory / "bin"
    nothing.mkdir()
    extra = {"PATH": str(nothing), "MISSIONS_KAFKA_JARS": str(stack_directory / "jars")}

    done = stack_command("up", stack_directory, Ports.free(), extra)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Maven (mvn) is not installed" in done.stderr
    assert "apt install maven" in done.stderr
    assert processes_of(stack_directory) == []  # Postgres and Redis had been started


def test_a_failed_server_shows_the_end_of_its_log(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    postgres_server.stop()
    (postgres_server.data / "PG_VERSION").write_text("9.6\n")

    with pytest.raises(StackError) as failed:
        postgres_server.start()

    assert "postgres ended while starting" in failed.value.problem
    assert any("incompatible with server" in line for line in failed.value.details)
    assert str(postgres_server.log_path) in failed.value.details[-1]
    assert postgres_server.pid is None


def test_a_stopped_server_forgets_its_data_and_a_running_one_refuses(redis_server: ValkeyServer) -> None:
    redis_server.start()
    with pytest.raises(StackError, match="running"):
        redis_server.forget()
    redis_server.stop()
    redis_server.forget()
    assert not redis_server.data.exists()


def test_a_server_that_hangs_is_not_ready_and_goes_on_afterwards(redis_server: ValkeyServer) -> None:
    redis_server.start()
    redis_server.send(signal.SIGSTOP)
    assert not redis_server.is_ready()
    redis_server.send(signal.SIGCONT)
    assert redis_server.is_ready()
