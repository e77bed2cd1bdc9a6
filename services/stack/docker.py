"""Servers in containers: for a machine where a Docker engine answers. Started through testcontainers.

Containers and volumes carry a name made from the stack's directory, so that several checkouts stay apart and
`make down` in a later process finds what `make up` started.
"""

import hashlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from services.stack.errors import StackError
from services.stack.kafka.server import broker_properties
from services.stack.ports import LOOPBACK, Ports, require_free
from services.stack.postgres import DATABASE, SETTINGS
from services.stack.probes import kafka_serves, postgres_serves, redis_serves
from services.stack.processes import LOG_LINES_SHOWN, POLL_SECONDS
from services.stack.server import Addresses, Progress, Server, Servers, quiet

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

IMAGES = {
    "kafka": ("MISSIONS_IMAGE_KAFKA", "apache/kafka:4.1.0"),
    "postgres": ("MISSIONS_IMAGE_POSTGRES", "postgres:18"),
    "redis": ("MISSIONS_IMAGE_REDIS", "valkey/valkey:8"),
}
PASSWORD = "missions"  # noqa: S105 - the image wants one; the port is on 127.0.0.1 alone
ENGINE_TIMEOUT_SECONDS = 5
CALL_TIMEOUT_SECONDS = 60
PULL_TIMEOUT_SECONDS = 600
START_SECONDS = 120.0
STOP_SECONDS = 30


@dataclass(frozen=True)
class ContainerPlan:
    """What makes one server's container."""

    name: str
    title: str
    port: int
    container_port: int
    address: str
    serves: Callable[[], bool]
    volume_path: str
    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)


class ContainerServer(Server):
    """One server in one container, on a port of 127.0.0.1, with its data in a named volume."""

    def __init__(self, stack: str, plan: ContainerPlan) -> None:
        self.title = plan.title
        self._plan = plan
        self._container_name = f"missions-{stack}-{plan.name}"

    @property
    @override
    def address(self) -> str:
        """On 127.0.0.1."""
        return self._plan.address

    @property
    @override
    def identity(self) -> str | None:
        """`container <name>` while it runs."""
        try:
            return f"container {self._container_name}" if self._state() == "running" else None
        except StackError:  # the engine itself is gone, and the container with it
            return None

    @property
    @override
    def pid(self) -> int | None:
        """None: the process belongs to the engine."""
        return None

    @override
    def is_ready(self) -> bool:
        """Whether it serves clients now."""
        return self._plan.serves()

    @override
    def start(self) -> bool:
        """Start the container and wait until it serves; False if it ran already."""
        if self._state() == "running":
            self._wait_ready()
            return False
        self._remove()
        require_free(self._plan.port, self.title, self._plan.name)
        try:
            self._run()
            self._wait_ready()
        except BaseException:
            self._remove()
            raise
        return True

    @override
    def stop(self) -> bool:
        """Stop and remove the container; the volume stays."""
        with self._container() as container:
            if container is None:
                return False
            container.stop(timeout=STOP_SECONDS)
        self._remove()
        return True

    @override
    def send(self, which: signal.Signals) -> None:
        """Send the container's first process a signal."""
        with self._container() as container:
            if container is not None and container.status == "running":
                container.kill(signal=which.value)

    @override
    def kill_hard(self) -> None:
        """SIGKILL the container."""
        self.send(signal.SIGKILL)
        self._remove()

    @override
    def forget(self) -> None:
        """Delete the volume."""
        import docker.errors

        if self._state() == "running":
            raise StackError(f"{self.title} is running ({self._container_name})", "stop it first: make down")
        self._remove()
        with _engine() as engine, suppress(docker.errors.NotFound):
            engine.volumes.get(self._container_name).remove(force=True)

    def _run(self) -> None:
        from docker.errors import DockerException
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        testcontainers_config.ryuk_disabled = True  # it would end the containers with this process
        plan = self._plan
        container = DockerContainer(_image(plan.name)).with_name(self._container_name).with_command(plan.command)
        container.with_envs(**plan.environment).with_volume_mapping(self._container_name, plan.volume_path, "rw")
        # A pair binds to that address alone; testcontainers' own method knows only ports on every address.
        container.ports[f"{plan.container_port}/tcp"] = (LOOPBACK, plan.port)  # type: ignore[assignment]
        try:
            container.start()
        except DockerException as error:
            raise StackError(
                f"the container of {self.title} did not start: {error}",
                "mend that, or use MISSIONS_STACK_PROVIDER=embedded",
            ) from error
        finally:
            container.get_docker_client().client.close()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self._state() != "running" or time.monotonic() > deadline:
                raise StackError(
                    f"{self.title} (container {self._container_name}) ended, or did not serve in {START_SECONDS:.0f} s",
                    f"see what its log says; docker run {_image(self._plan.name)} tries the image alone",
                    self._log_tail(),
                )
            time.sleep(POLL_SECONDS)

    def _log_tail(self) -> tuple[str, ...]:
        with self._container() as container:
            text = container.logs(tail=LOG_LINES_SHOWN).decode(errors="replace") if container is not None else ""
            return tuple(text.splitlines())

    def _state(self) -> str | None:
        with self._container() as container:
            return str(container.status) if container is not None else None

    def _remove(self) -> None:
        with self._container() as container:
            if container is not None:
                container.remove(v=True, force=True)

    @contextmanager
    def _container(self) -> "Iterator[Container | None]":
        import docker.errors

        try:
            with _engine() as engine:
                try:
                    found = engine.containers.get(self._container_name)
                except docker.errors.NotFound:
                    found = None
                yield found
        except (docker.errors.DockerException, OSError) as error:
            raise StackError(f"the Docker engine failed: {error}", "look after the engine, then try again") from error


def addresses(ports: Ports) -> Addresses:
    """Where containers on these ports are."""
    return Addresses(
        f"{LOOPBACK}:{ports.kafka}",
        f"postgresql://{DATABASE}:{PASSWORD}@{LOOPBACK}:{ports.postgres}/{DATABASE}",
        f"redis://{LOOPBACK}:{ports.redis}/0",
    )


def servers(directory: Path, ports: Ports) -> Servers:
    """The three in containers that belong to the stack in `directory`."""
    stack = hashlib.sha256(str(directory).encode()).hexdigest()[:8]
    where = addresses(ports)
    kafka = ContainerPlan(
        "kafka", "Kafka", ports.kafka, ports.kafka, where.kafka_bootstrap, lambda: kafka_serves(ports.kafka),
        "/var/lib/kafka/data", _kafka_environment(ports),
    )  # fmt: skip
    postgres = ContainerPlan(
        "postgres", "Postgres", ports.postgres, 5432, where.postgres_dsn,
        lambda: postgres_serves(ports.postgres, DATABASE, DATABASE), "/var/lib/postgresql",
        # A place of our own below the volume: where the image keeps data by default changed between versions.
        {"POSTGRES_USER": DATABASE, "POSTGRES_DB": DATABASE, "POSTGRES_PASSWORD": PASSWORD,
         "PGDATA": "/var/lib/postgresql/missions"},
        [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")],
    )  # fmt: skip
    redis = ContainerPlan(
        "redis", "Redis", ports.redis, 6379, where.redis_url, lambda: redis_serves(ports.redis), "/data",
        command=["--appendonly", "no", "--save", ""],
    )  # fmt: skip
    return Servers("docker", *(ContainerServer(stack, plan) for plan in (kafka, postgres, redis)))


def unavailable_engine() -> StackError | None:
    """None if an engine on this machine answers; else why not."""
    if find_spec("testcontainers") is None:
        return StackError("the package testcontainers is not installed", "run `make venv`")
    if (path := _socket()) is None:
        return StackError("the Docker engine is on another machine", "use MISSIONS_STACK_PROVIDER=embedded")
    if not _answers(path):
        return StackError("no Docker engine answers", "start one, or use MISSIONS_STACK_PROVIDER=embedded")
    return None


def unavailable(progress: Progress = quiet) -> StackError | None:
    """None if an engine answers and has, or can get, the images; else what is missing."""
    if (missing := unavailable_engine()) is not None:
        return missing
    import docker.errors

    with _engine(PULL_TIMEOUT_SECONDS) as engine:
        for name, (variable, _) in IMAGES.items():
            image = _image(name)
            try:
                if not engine.images.list(image):
                    progress(f"image {image}", "pulling")
                    engine.images.pull(image)
                    progress(f"image {image}", "ready")
            except (docker.errors.DockerException, OSError):
                return StackError(
                    f"a Docker engine answers, but the image {image} can't be had",
                    f"docker pull {image}, or set {variable} to an image that is there",
                )
    return None


def _socket() -> Path | None:
    """The engine's socket; None if the engine is reached over a network, where ports of 127.0.0.1 mean nothing."""
    from testcontainers.core.docker_client import get_docker_host

    host = get_docker_host() or "unix:///var/run/docker.sock"
    return Path(host.removeprefix("unix://").removeprefix("http+unix://")) if "unix:" in host else None


def _answers(path: Path) -> bool:
    """Whether an engine listens; asked without the client, which leaves its socket open when there is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ENGINE_TIMEOUT_SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in connection.recv(64)
        except OSError:
            return False


@contextmanager
def _engine(timeout: int = CALL_TIMEOUT_SECONDS) -> "Iterator[DockerClient]":
    import docker

    client = docker.DockerClient(base_url=f"unix://{_socket()}", timeout=timeout)
    try:
        yield client
    finally:
        client.close()


def _image(name: str) -> str:
    variable, default = IMAGES[name]
    return os.environ.get(variable) or default


def _kafka_environment(ports: Ports) -> dict[str, str]:
    # Clients and the broker itself use one advertised address, so the port is the same inside and outside.
    properties = broker_properties() | {
        "listeners": f"PLAINTEXT://:{ports.kafka},CONTROLLER://{LOOPBACK}:{ports.kafka_controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{ports.kafka}",
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports.kafka_controller}",
        "log.dirs": "/var/lib/kafka/data",
    }
    return {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in properties.items()}
