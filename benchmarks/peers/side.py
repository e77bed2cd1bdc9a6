"""Runs one peer on a topic that was filled beforehand, and makes sure that it has completed what it should."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checks import WrongResult
from benchmarks.sides import Measured, Told, run_program
from benchmarks.world import World, create_topics
from services.adapters.kafka.reader import read_from

from .environment import Environment
from .expected import Completion


@dataclass(frozen=True, slots=True)
class Peer:
    """One rival."""

    name: str
    title: str
    keeps: str
    """What a reader must know about its promises to compare the figures."""
    is_slow: bool = False
    """It gets the smaller topic, of some of the users."""


PEERS = (
    Peer(
        "faust-memory",
        "Faust table, memory",
        "changelog topic, not queryable; double counts after kill -9",
        is_slow=True,
    ),
    Peer(
        "faust-rocksdb",
        "Faust table, RocksDB",
        "changelog topic, not queryable; double counts after kill -9",
        is_slow=True,
    ),
    Peer("quix-at-least-once", "Quix Streams, at least once", "RocksDB, not queryable; double counts after kill -9"),
    Peer(
        "quix-exactly-once",
        "Quix Streams, exactly once",
        "RocksDB, not queryable, visible each 5 s; exact after kill -9",
    ),
    Peer("kafka-streams", "Kafka Streams, EOS v2, one thread (Java)", "RocksDB, not queryable; exact after kill -9"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A filled topic."""

    topic: str
    partitions: int
    records: int
    expected: set[Completion]


def can_run(peer: Peer, environment: Environment) -> bool:
    """Whether what it needs is here."""
    return (environment.java if peer.name == "kafka-streams" else environment.python) is not None


async def run_peer(peer: Peer, world: World, environment: Environment, source: Source, told: Told) -> Measured:
    """The peer on all records of the topic. Raises `SideFailed`, and `WrongResult` when it completed anything else."""
    out = f"{source.topic}.{peer.name}.completed"
    directory = world.directory / "peers" / peer.name
    directory.mkdir(parents=True, exist_ok=True)
    await create_topics(world, [out], source.partitions)
    command = _command(peer, environment, world.servers.addresses.kafka_bootstrap, source, out, directory)
    measured = await run_program(
        peer.title, command, source.records, world.directory / "logs" / f"{peer.name}.log", told
    )
    await _check(peer, world, out, source)
    return measured


def _command(
    peer: Peer, environment: Environment, bootstrap: str, source: Source, out: str, directory: Path
) -> Sequence[str]:
    group = f"peer-{peer.name}"
    if peer.name == "kafka-streams":
        assert environment.java is not None
        return [*environment.java, bootstrap, source.topic, out, group, str(directory), str(source.records)]
    assert environment.python is not None
    framework, _, variant = peer.name.partition("-")
    shared = ["--kafka", bootstrap, "--topic", source.topic, "--out", out, "--group", group]
    shared += ["--directory", str(directory), "--events", str(source.records)]
    if framework == "quix":
        return [environment.python, "-m", "benchmarks.peers.quix", *shared, "--guarantee", variant]
    store = "memory://" if variant == "memory" else "rocksdb://"
    partitions = str(source.partitions)
    return [
        environment.python,
        "-m",
        "benchmarks.peers.faust_tables",
        *shared,
        "--store",
        store,
        "--partitions",
        partitions,
    ]


async def _check(peer: Peer, world: World, out: str, source: Source) -> None:
    found: Counter[Completion] = Counter()
    async for _, record in read_from(world.servers.addresses.kafka_bootstrap, out):
        told = json.loads(record.value or b"{}")
        found[told["user"], told["mission"]] += 1
    twice = [completion for completion, count in found.items() if count > 1]
    lacking, extra = source.expected - found.keys(), found.keys() - source.expected
    if twice or lacking or extra:
        raise WrongResult(
            f"{peer.title}: of {len(source.expected)} completions {len(lacking)} lack, {len(extra)} are too many, "
            f"{len(twice)} came twice; for example {sorted([*lacking, *extra, *twice])[:3]}"
        )
