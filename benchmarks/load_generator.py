"""autocannon as a program: installed once from its lock file, told what to send, asked what came of it."""

import asyncio
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.stack.errors import StackError

from .installed import INSTALL_SECONDS, once, run

SOURCE = Path(__file__).with_name("load")
FILES = [SOURCE / name for name in ("package.json", "package-lock.json", "load.mjs")]


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one load. Milliseconds are of each answered request."""

    per_second: float
    p50_ms: float
    p99_ms: float
    answered: int
    refused: int
    """Answers other than 2xx, and requests without an answer."""


def install() -> Path:
    """The folder with the generator and its packages. Raises StackError."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise StackError("no Node is installed", "install Node 18 or newer with npm: it runs the load generator")
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]

    def fill(directory: Path) -> None:
        directory.mkdir(parents=True)
        for path in FILES:
            shutil.copy(path, directory)
        run(command, INSTALL_SECONDS, "the load generator", directory=directory)

    return once("load", FILES, fill)


async def send(
    directory: Path, url: str, requests: Sequence[Mapping[str, Any]], connections: int, seconds: float | None
) -> Seen:
    """Sends the requests again and again for so many seconds, or each once when that is None. Raises StackError when it fails.

    Each connection has an equal part of them, so their number must be a multiple of the connections.
    """
    if len(requests) % connections:
        raise ValueError(f"{len(requests)} requests can't be shared equally by {connections} connections")
    told = {"url": url, "connections": connections, "requests": list(requests)}
    told |= {"amount": len(requests)} if seconds is None else {"seconds": seconds}
    node = await asyncio.create_subprocess_exec(
        "node", "load.mjs", cwd=directory,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await node.communicate(json.dumps(told).encode())
    finally:
        if node.returncode is None:
            node.kill()
    if node.returncode != 0:
        raise StackError(
            f"the load generator ended with {node.returncode}",
            "see the lines above",
            tuple(err.decode().splitlines()[-5:]),
        )
    found = json.loads(out)
    return Seen(
        per_second=found["2xx"] / found["duration"],
        p50_ms=found["latency"]["p50"],
        p99_ms=found["latency"]["p99"],
        answered=found["2xx"],
        refused=found["non2xx"] + found["errors"],
    )
