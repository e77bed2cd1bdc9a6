"""What counting calls costs a read: the cheapest one there is (one user, from Redis), with limits and without, in turns."""

import argparse
import asyncio
import statistics
import tempfile
from datetime import timedelta
from pathlib import Path
from time import perf_counter, process_time

from fastapi import FastAPI
from starlette.types import Message

from services.adapters.http import UserCaller, create_http_app
from services.adapters.projection import Projection
from services.adapters.rate_limits import LEASES_PER_WINDOW, LimitSettings, RateLimits
from services.adapters.tokens import TokenKind, TokenSettings, TokenVerifier, mint
from services.stack.ports import Ports
from services.stack.providers import embedded_servers

USERS = 500
"""Each makes few enough calls that nobody is refused."""

ONE_AT_A_TIME = LEASES_PER_WINDOW
"""A limit so low that every call asks Redis."""


def main() -> None:
    """Starts Redis, measures in turns, prints the medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, choices=range(1, 10), default=9, help="of a call of each user")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="missions-limits-") as directory:
        servers = embedded_servers(Path(directory), Ports.free())
        try:
            servers.redis.start()
            asyncio.run(_measure(Path(directory), servers.addresses.redis_url, arguments.turns))
        finally:
            servers.stop()


async def _measure(directory: Path, redis_url: str, turns: int) -> None:
    projection = Projection.connect(redis_url, timeout_seconds=5)
    tokens = TokenSettings(environment="development", development_key_file=directory / "key.pem")
    verifier = TokenVerifier.from_settings(tokens)
    users = [f"user-{n}" for n in range(USERS)]
    headers = {u: f"Bearer {mint(tokens, u, TokenKind.USER, timedelta(hours=1))}".encode() for u in users}

    def app(reads_per_minute: int | None) -> FastAPI:
        limits = None
        if reads_per_minute is not None:
            settings = LimitSettings(limit_reads_per_minute=reads_per_minute)
            limits = RateLimits.connect(settings, projection, "bench", f"{reads_per_minute}-")
        made = create_http_app("Benchmark", "", verifier, "1", limits=limits)

        @made.get("/read")
        async def read(caller: UserCaller) -> int:
            return len(await projection.load([caller.subject]))

        return made

    default = LimitSettings().limit_reads_per_minute
    sides = {"off": app(None), "on": app(default), "on, asking Redis each time": app(ONE_AT_A_TIME)}
    for one in sides.values():
        await _turn(one, headers)  # tokens are remembered from here on
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, one in sides.items():
            found[name].append(await _turn(one, headers))
    await projection.close()
    wall, core = ({n: statistics.median(f[i] for f in fs) for n, fs in found.items()} for i in (0, 1))
    for name in sides:
        print(
            f"{name:27} {wall[name] * 1e6:7.0f} µs a call ({wall[name] / wall['off']:.2f} x), "
            f"{core[name] * 1e6:7.0f} µs of a core ({core[name] / core['off']:.2f} x)"
        )


async def _turn(app: FastAPI, headers: dict[str, bytes]) -> tuple[float, float]:
    began, began_core = perf_counter(), process_time()
    for authorization in headers.values():
        await _call(app, authorization)
    return (perf_counter() - began) / len(headers), (process_time() - began_core) / len(headers)


async def _call(app: FastAPI, authorization: bytes) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/read",
        "raw_path": b"/read",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", authorization)],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, receive, send)


if __name__ == "__main__":
    main()
