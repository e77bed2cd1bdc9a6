"""Servers of a chaos run's own: durable, each in a directory that can be made a small disk, Kafka reached through a proxy."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typing_extensions import override

from services.stack.kafka.server import KafkaServer
from services.stack.paths import jar_cache
from services.stack.ports import LOOPBACK, Ports, free_ports
from services.stack.postgres import PostgresServer
from services.stack.server import Servers
from services.stack.valkey import ValkeyServer

DISK_MEGABYTES = 1024
"""A disk for one server's data: far more than a run writes, little enough to be filled in a second."""


class ProxiedKafka(KafkaServer):
    """Kafka with a second listener, which tells its clients to come by way of a proxy."""

    def __init__(self, directory: Path, port: int, controller_port: int) -> None:
        super().__init__(directory, port, controller_port, jar_cache(), durable=True)
        self.proxied_port, self.proxy_port = free_ports(2)

    @property
    def proxied_address(self) -> str:
        """Where the proxy connects to."""
        return f"{LOOPBACK}:{self.proxied_port}"

    @property
    def proxy_address(self) -> str:
        """Where clients find the proxy."""
        return f"{LOOPBACK}:{self.proxy_port}"

    @override
    def _prepare(self) -> None:
        super()._prepare()
        more = {
            "listeners": f"PLAINTEXT://{self.address},PROXIED://{self.proxied_address},"
            f"CONTROLLER://{LOOPBACK}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address},PROXIED://{self.proxy_address}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
        }
        with self._properties.open("a") as file:  # of two lines with one name the last one counts
            file.writelines(f"{name}={value}\n" for name, value in more.items())


def chaos_servers(directory: Path, ports: Ports) -> tuple[Servers, ProxiedKafka]:
    """Three durable servers below `directory`, and Kafka again by its own type."""
    kafka = ProxiedKafka(directory / "kafka", ports.kafka, ports.kafka_controller)
    postgres = PostgresServer(directory / "postgres", ports.postgres, durable=True)
    redis = ValkeyServer(directory / "redis", ports.redis, durable=True)
    return Servers("embedded", kafka, postgres, redis), kafka


class SmallDisk:
    """A file system of its own for one server's data, which a ballast file can fill to the last byte."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leaves no room: the next write that needs some fails with "no space left on device"."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        """Gives the room back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(server_directory: Path) -> Iterator[SmallDisk | None]:
    """Puts the server's `data` on a small disk while the block runs; None where this user may not mount one."""
    path = server_directory / "data"
    path.mkdir(parents=True, exist_ok=True)
    mount = shutil.which("mount")
    options = f"size={DISK_MEGABYTES}m,mode=0711"
    command = [mount or "mount", "-t", "tmpfs", "-o", options, "missions-chaos", str(path)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], capture_output=True, check=False)
