"""`missions doctor` as a person runs it: every fault at once, each with its fix, and never a traceback."""

import shutil
from pathlib import Path

from services.stack.ports import LOOPBACK, Ports
from services.stack.server import Addresses
from tests.integration.stack.support import line_of, missions


def test_with_the_stack_down_it_checks_the_machine_and_says_so(stack_directory: Path) -> None:
    done = missions("doctor", directory=stack_directory, ports=Ports.free())
    assert done.returncode == 1
    assert done.stderr == ""
    for good in ("Python", "Packages", "Java", "Disk", "Ports"):
        assert line_of(done.stdout, good).startswith("✓"), done.stdout
    assert line_of(done.stdout, "Stack").startswith("✗")
    assert "make up" in line_of(done.stdout, "Stack")


def test_it_names_every_fault_at_once_with_its_fix(
    stack_directory: Path, addresses: Addresses, fresh_database: str
) -> None:
    given = Addresses(addresses.kafka_bootstrap, fresh_database, "redis://127.0.0.1:1/0").environment()
    extra = {**given, "MISSIONS_TOPIC_PREFIX": f"{fresh_database[-6:]}."}

    done = missions("doctor", directory=stack_directory, ports=Ports.free(), extra=extra)

    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert line_of(done.stdout, "Kafka").startswith("✓")
    assert line_of(done.stdout, "Postgres").startswith("✓")
    assert line_of(done.stdout, "Redis").startswith("✗")
    assert "missions topics apply" in line_of(done.stdout, "Topics")
    assert "missions migrate" in line_of(done.stdout, "Schema")
    assert "does not run" in line_of(done.stdout, "processor")


def test_what_it_says_to_do_mends_topics_and_schema(
    stack_directory: Path, addresses: Addresses, fresh_database: str
) -> None:
    given = Addresses(addresses.kafka_bootstrap, fresh_database, addresses.redis_url).environment()
    extra = {**given, "MISSIONS_TOPIC_PREFIX": f"{fresh_database[-6:]}."}
    ports = Ports.free()
    for fix in (("topics", "apply"), ("migrate",)):
        mended = missions(*fix, directory=stack_directory, ports=ports, extra=extra)
        assert mended.returncode == 0, mended.stderr

    done = missions("doctor", directory=stack_directory, ports=ports, extra=extra)

    assert line_of(done.stdout, "Topics").startswith("✓")
    assert line_of(done.stdout, "Schema").startswith("✓")


def test_a_directory_that_cannot_be_written_is_named(stack_directory: Path) -> None:
    (stack_directory / "file").touch()
    done = missions("doctor", directory=stack_directory / "file" / "below", ports=Ports.free())
    assert line_of(done.stdout, "Disk").startswith("✗")
    assert "MISSIONS_LOCAL_DIR" in line_of(done.stdout, "Disk")


def test_a_port_that_is_no_port_is_a_finding(stack_directory: Path) -> None:
    done = missions("doctor", directory=stack_directory, ports=Ports.free(), extra={"MISSIONS_PORT_API": "eighty"})
    assert done.returncode == 1
    assert "MISSIONS_PORT_API='eighty' is not a port" in line_of(done.stdout, "Stack")


def test_without_maven_and_jars_it_says_how_to_get_them(stack_directory: Path) -> None:
    nothing = stack_directory / "bin"
    nothing.mkdir()
    extra = {"PATH": str(nothing), "MISSIONS_KAFKA_JARS": str(stack_directory / "jars")}
    done = missions("doctor", directory=stack_directory, ports=Ports.free(), extra=extra)
    assert "apt install maven" in line_of(done.stdout, "Kafka's jars")
    assert shutil.which("mvn", path=str(nothing)) is None


def test_status_of_a_stack_that_is_down(stack_directory: Path) -> None:
    done = missions("stack", "status", directory=stack_directory, ports=Ports.free())
    assert done.returncode == 1
    assert "(down)" in done.stdout
    assert LOOPBACK in done.stdout
