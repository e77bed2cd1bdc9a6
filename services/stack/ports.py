"""Which ports the stack listens on, and who sits on one of them already."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields

from services.stack.errors import StackError

LOOPBACK = "127.0.0.1"
HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Ports:
    """Every port of the local stack, away from the usual ones so that it runs beside what is installed already."""

    kafka: int = 19092
    kafka_controller: int = 19093
    postgres: int = 15432
    redis: int = 16379
    api: int = 18080
    claims: int = 18081
    processor_inside: int = 18091
    claims_inside: int = 18092
    relay_inside: int = 18093
    api_inside: int = 18094
    scheduler_inside: int = 18095

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Ports":
        """The defaults, with each `MISSIONS_PORT_<NAME>` that is set. Raises StackError for one that is no port."""
        chosen = {}
        for field in fields(cls):
            text = environment.get(variable(field.name))
            if text:
                chosen[field.name] = _parse(variable(field.name), text)
        return cls(**chosen)

    @classmethod
    def free(cls) -> "Ports":
        """Ports that nothing listens on now, for a stack of a test's own."""
        return cls(**dict(zip((field.name for field in fields(cls)), free_ports(len(fields(cls))), strict=True)))


def variable(name: str) -> str:
    """The environment variable that overrides the port called `name`."""
    return f"MISSIONS_PORT_{name.upper()}"


def free_ports(count: int) -> list[int]:
    """`count` different ports that nothing listens on now; all are held while choosing, so that none comes twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def is_open(port: int, host: str = LOOPBACK, timeout: float = 1.0) -> bool:
    """Whether something accepts connections there within `timeout` seconds."""
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return True
    except OSError:
        return False


def require_free(port: int, what: str, name: str) -> None:
    """Raises StackError if `port` is taken, saying by whom and which variable moves it. `what` is who wants it."""
    with socket.socket() as probe:
        # A port that a stopped server has just left is free for the next server too: they set the same option.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise StackError(
                f"port {port} for {what} is in use by {_holder(port) or 'another program'} ({error.strerror})",
                f"stop that program, or choose another port: export {variable(name)}=<port>",
            ) from error


def _holder(port: int) -> str | None:
    import psutil

    try:
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                return f"{psutil.Process(each.pid).name()} (pid {each.pid})"
    except psutil.Error:
        return None  # other users' sockets are hidden on some systems
    return None


def _parse(name: str, text: str) -> int:
    if text.isdigit() and 0 < int(text) <= HIGHEST_PORT:
        return int(text)
    raise StackError(f"{name}={text!r} is not a port", f"set {name} to a number from 1 to {HIGHEST_PORT}")
