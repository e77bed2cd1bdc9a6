"""Servers that are there already: the stack uses them, and never starts, stops or empties them."""

import signal
from urllib.parse import urlsplit

from typing_extensions import override

from services.stack.errors import StackError
from services.stack.ports import is_open
from services.stack.server import Addresses, Server, Servers

DEFAULT_PORTS = {"Kafka": 9092, "Postgres": 5432, "Redis": 6379}


class ExternalServer(Server):
    """One server at an address that somebody gave us."""

    def __init__(self, title: str, address: str, variable: str) -> None:
        self.title = title
        self._address = address
        self._variable = variable

    @property
    @override
    def address(self) -> str:
        """As given."""
        return self._address

    @property
    @override
    def identity(self) -> str | None:
        """`external` while one of its addresses accepts connections."""
        return "external" if self.is_ready() else None

    @property
    @override
    def pid(self) -> int | None:
        """None: it is not ours."""
        return None

    @override
    def is_ready(self) -> bool:
        """Whether one of its addresses accepts connections; TLS and passwords are the roles' matter."""
        return any(is_open(port, host) for host, port in self._endpoints())

    @override
    def start(self) -> bool:
        """Only checks that it is there. Raises StackError if it is not."""
        if not self.is_ready():
            where = ", ".join(f"{host}:{port}" for host, port in self._endpoints())
            raise StackError(
                f"{self.title} does not answer at {where}",
                f"start it, or correct {self._variable} (or unset the three variables: then the stack starts its own)",
            )
        return False

    @override
    def stop(self) -> bool:
        """Leaves it alone."""
        return False

    @override
    def send(self, which: signal.Signals) -> None:
        """Refuses: it is not ours."""
        raise self._not_ours()

    @override
    def kill_hard(self) -> None:
        """Refuses: it is not ours."""
        raise self._not_ours()

    @override
    def forget(self) -> None:
        """Leaves its data alone."""
        return

    def _not_ours(self) -> StackError:
        return StackError(
            f"{self.title} is external: the stack does not kill it",
            "MISSIONS_STACK_PROVIDER=embedded gives one that it may",
        )

    def _endpoints(self) -> list[tuple[str, int]]:
        default = DEFAULT_PORTS[self.title]
        _, scheme, rest = self._address.rpartition("://")
        hosts = rest.split(",") if not scheme else [urlsplit(self._address).netloc.rpartition("@")[2]]
        try:
            parts = [urlsplit(f"//{host}") for host in ",".join(hosts).split(",")]
            return [(part.hostname or "localhost", part.port or default) for part in parts]
        except ValueError as error:
            raise StackError(
                f"{self._variable} is not an address: {error}", f"correct {self._variable}: host:port"
            ) from error


def servers(given: Addresses) -> Servers:
    """The three at these addresses. Raises StackError naming the variables that are missing."""
    variables = given.environment()
    if missing := [name for name, value in variables.items() if not value]:
        present = [name for name in variables if name not in missing]
        raise StackError(
            f"{_joined(missing)} {'is' if len(missing) == 1 else 'are'} not set, "
            + (f"but {_joined(present)} {'is' if len(present) == 1 else 'are'}" if present else "which external needs"),
            "set all three to use servers of your own, or none to let the stack start its own",
        )
    kafka, postgres, redis = variables
    return Servers(
        "external",
        ExternalServer("Kafka", given.kafka_bootstrap, kafka),
        ExternalServer("Postgres", given.postgres_dsn, postgres),
        ExternalServer("Redis", given.redis_url, redis),
    )


def _joined(names: list[str]) -> str:
    return " and ".join(names)
