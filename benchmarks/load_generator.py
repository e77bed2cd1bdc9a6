"""autocannon as a program: installed once from its lock file, told what to send, asked what came of it."""

import asyncio
import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.stack.errors import StackError
from services.stack.paths import PROJECT

SOURCE = Path(__file__).with_name("load")
INSTALL_SECONDS = 300.0
FILES = ("package.json", "package-lock.json", "load.mjs")


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
    """The folder with the generator and its packages; made once, named by the digest of its files. Raises StackError."""
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in FILES)).hexdigest()[:16]
    directory = PROJECT / ".local" / "load" / digest
    done = directory / "installed"
    if done.exists():
        return directory
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise StackError("no Node is installed", "install Node 18 or newer with npm: it runs the load generator")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name in FILES:
        shutil.copy(SOURCE / name, directory)
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    if ended.returncode != 0:
        raise StackError(
            f"npm could not install the load generator (exit code {ended.returncode})", ended.stderr[-500:]
        )
    done.touch()
    return directory


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
        raise StackError(f"the load generator ended with {node.returncode}", err.decode()[-500:])
    found = json.loads(out)
    return Seen(
        per_second=found["2xx"] / found["duration"],
        p50_ms=found["latency"]["p50"],
        p99_ms=found["latency"]["p99"],
        answered=found["2xx"],
        refused=found["non2xx"] + found["errors"],
    )
