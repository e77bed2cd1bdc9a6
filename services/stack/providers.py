"""Chooses who provides the servers: external, docker or embedded, in this order."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from services.stack import docker, external
from services.stack.errors import StackError
from services.stack.kafka.server import KafkaServer
from services.stack.paths import jar_cache
from services.stack.ports import Ports
from services.stack.postgres import PostgresServer
from services.stack.server import Addresses, Progress, Servers, quiet
from services.stack.valkey import ValkeyServer

Provider = Literal["external", "docker", "embedded"]
FORCE = "MISSIONS_STACK_PROVIDER"


@dataclass(frozen=True)
class Choice:
    """The servers, and one line that says why they come from this provider."""

    servers: Servers
    reason: str


def choose(
    directory: Path,
    ports: Ports,
    *,
    durable: bool = True,
    environment: Mapping[str, str] = os.environ,
    progress: Progress = quiet,
) -> Choice:
    """Picks the provider; `MISSIONS_STACK_PROVIDER` forces one. Raises StackError if the forced one can't be had."""
    forced = environment.get(FORCE)
    if forced and forced not in get_args(Provider):
        raise StackError(f"{FORCE}={forced!r} is no provider", f"set it to one of {', '.join(get_args(Provider))}")
    embedded = embedded_servers(directory, ports, durable=durable)
    given = Addresses.from_environment(environment)
    # Somebody who has read `.local/stack.env` into the shell means this stack, not servers of their own.
    ours = given in (embedded.addresses, docker.addresses(ports))
    if forced == "external" or (not forced and not ours and any(given.environment().values())):
        return Choice(external.servers(given), "external (the MISSIONS_ variables say where)")
    if forced == "embedded":
        return Choice(embedded, f"embedded ({FORCE} says so)")
    unavailable = docker.unavailable(progress)
    if unavailable is None:
        return Choice(docker.servers(directory, ports), "docker (an engine answers)")
    if forced == "docker":
        raise unavailable
    return Choice(embedded, f"embedded ({unavailable.problem})")


def recorded(provider: str, directory: Path, ports: Ports, addresses: Addresses) -> Servers:
    """The servers of a provider that was chosen before, whatever the environment says now."""
    if provider == "external":
        return external.servers(addresses)
    if provider == "docker":
        return docker.servers(directory, ports)
    return embedded_servers(directory, ports)


def embedded_servers(directory: Path, ports: Ports, *, durable: bool = True) -> Servers:
    """Servers from packages, on 127.0.0.1, with data, logs and pid files below `directory`.

    `durable=False` gives up surviving a power cut for speed; for tests.
    """
    return Servers(
        "embedded",
        kafka=KafkaServer(directory, ports.kafka, ports.kafka_controller, jar_cache(), durable=durable),
        postgres=PostgresServer(directory, ports.postgres, durable=durable),
        redis=ValkeyServer(directory, ports.redis, durable=durable),
    )
