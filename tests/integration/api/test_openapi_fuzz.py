"""The running api and claims roles keep what /openapi.json promises, whatever is sent: schemathesis, every check, all tokens.

`make fuzz-api` runs it for longer: SECONDS, SEED.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

from services.adapters.tokens import TokenKind
from tests.support.events import lesson
from tests.support.http import Client, Upstreams
from tests.support.roles import HttpRoles

SECONDS = int(os.environ.get("MISSIONS_FUZZ_SECONDS") or 25)
EXAMPLES = 10 if SECONDS <= 60 else 100


@pytest.mark.timeout(SECONDS + 400)
async def test_the_roles_keep_what_their_openapi_promises(
    http_roles: HttpRoles, api: Client, upstreams: Upstreams, tmp_path: Path
) -> None:
    seed = int(os.environ.get("MISSIONS_FUZZ_SEED") or random.randrange(2**32))
    print(f"seed {seed}")
    await upstreams.send("ada", lesson())  # there is something to claim
    tokens = {
        f"{kind.upper()}_TOKEN": api.headers(kind, "ada")["Authorization"].removeprefix("Bearer ") for kind in TokenKind
    }
    here = Path(__file__)
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("schemathesis"), "--config-file", here.with_name("schemathesis.toml")),
        *("run", f"{http_roles.url}/openapi.json", "--checks", "all", "--mode", "all", "--continue-on-failure"),
        *("--max-examples", str(EXAMPLES), "--max-time", str(SECONDS), "--seed", str(seed), "--no-color"),
        env={**os.environ, **tokens},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    print(said.decode())
    assert process.returncode == 0, "schemathesis has findings, see above"
    for log in http_roles.logs:
        assert "request_failed" not in log.read_text()
