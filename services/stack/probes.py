"""Asks each kind of server, in a few bytes of its own protocol, whether it serves clients now."""

import socket
import struct

from services.stack.ports import LOOPBACK

TIMEOUT_SECONDS = 2.0
KAFKA_METADATA_REQUEST = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)
"""Metadata, version 1, correlation id 1, no client id, no topics: the answer begins with the brokers that serve."""


def kafka_serves(port: int) -> bool:
    """Whether a broker answers and counts itself as serving; one that has just opened its port does not yet."""
    answer = _ask(port, struct.pack(">i", len(KAFKA_METADATA_REQUEST)) + KAFKA_METADATA_REQUEST, 12)
    return len(answer) == 12 and struct.unpack(">iii", answer)[2] > 0  # size, correlation id, number of brokers


def postgres_serves(port: int, user: str, database: str) -> bool:
    """Whether it goes on to authenticate a session; while it starts or stops it answers with an error."""
    return _ask(port, _postgres_startup(user, database), 1) == b"R"


def postgres_refuses(port: int, user: str, database: str) -> bool:
    """Whether it serves, but lets nobody in who comes without TLS (SQLSTATE 28000)."""
    return b"C28000" in _ask(port, _postgres_startup(user, database), 64)


def _postgres_startup(user: str, database: str) -> bytes:
    words = f"user\0{user}\0database\0{database}\0\0".encode()
    return struct.pack(">ii", len(words) + 8, 3 << 16) + words  # protocol 3.0


def redis_serves(port: int) -> bool:
    """Whether it answers PING; while it loads its data it answers with an error."""
    return _ask(port, b"PING\r\n", 5) == b"+PONG"


def _ask(port: int, request: bytes, size: int) -> bytes:
    """The first `size` bytes of the answer, fewer if there is no such answer."""
    answer = b""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            while len(answer) < size and (more := connection.recv(size - len(answer))):
                answer += more
    except OSError:
        return b""
    return answer
