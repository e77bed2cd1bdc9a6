"""HTTP roles as processes of a test's own, on its own ledger and topics."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from services.adapters.tokens import TokenSettings
from services.stack.server import Addresses
from tests.support.stack import free_port
from tests.support.system import until

READY_SECONDS = 150
"""A cold start imports much: half a minute on a machine that has far more to do than it can."""


@dataclass(frozen=True)
class Process:
    """A role that runs."""

    process: asyncio.subprocess.Process
    url: str
    inside_url: str

    async def ready(self) -> None:
        """Waits until `/readyz` says so."""
        async with httpx.AsyncClient() as http:

            async def is_ready() -> bool:
                assert self.process.returncode is None, "the role has ended"
                try:
                    return (await http.get(f"{self.inside_url}/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(is_ready, "the role to be ready", READY_SECONDS)


Start = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def start(addresses: Addresses, ledger_dsn: str, topic_prefix: str, tokens: TokenSettings) -> Start:
    """Starts a role on a ledger of the test's own; a role that logs much gets a file to do so."""

    @asynccontextmanager
    async def started(role: str, log: Path | None = None, **changes: str) -> AsyncIterator[Process]:
        http, inside = free_port(), free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MISSIONS_")},
            **addresses.environment(),
            "MISSIONS_POSTGRES_DSN": ledger_dsn,
            "MISSIONS_TOPIC_PREFIX": topic_prefix,
            "MISSIONS_ENVIRONMENT": "development",
            "MISSIONS_DEVELOPMENT_KEY_FILE": str(tokens.development_key_file),
            "MISSIONS_HTTP_PORT": str(http),
            "MISSIONS_INSIDE_PORT": str(inside),
            **changes,
        }
        command = (sys.executable, "-m", "services.cli.main", role)
        pipe = asyncio.subprocess.PIPE
        with log.open("wb") if log else nullcontext(pipe) as errors:
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=errors)
        try:
            yield Process(process, f"http://127.0.0.1:{http}", f"http://127.0.0.1:{inside}")
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return started


@dataclass(frozen=True)
class HttpRoles:
    """The api role, passing claims on to the claims role, and their logs."""

    url: str
    claims_url: str
    logs: list[Path]


@pytest.fixture
async def http_roles(start: Start, tmp_path: Path) -> AsyncIterator[HttpRoles]:
    """Both HTTP roles, ready, without rate limits."""
    logs = [tmp_path / "claims.log", tmp_path / "api.log"]
    off = {"MISSIONS_RATE_LIMITS": "false"}
    async with (
        start("claims", logs[0], **off) as claims,
        start("api", logs[1], MISSIONS_CLAIMS_URL=claims.url, **off) as api,
    ):
        await claims.ready()
        await api.ready()
        yield HttpRoles(api.url, claims.url, logs)
