"""Every role, asked to end in the middle of its work, ends well within ten seconds, and leaves nothing half done."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from services.stack.ports import free_ports
from tests.support.events import lesson, xp
from tests.support.system import Running, until

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60
"""The roles bound their drain to ten seconds themselves; a busy machine may take longer to run them for so long."""
TOPICS = ["learning.lesson-completed", "learning.xp-earned"]


@asynccontextmanager
async def second(system: Running, role: str) -> AsyncIterator[tuple[Process, str]]:
    """Another process of a role beside the system's own, ready, with the address of its HTTP calls."""
    inside, http = free_ports(2)
    lines = system.stack.env_file.read_text("utf-8").splitlines()
    variables = {
        **os.environ,
        **dict(line.split("=", 1) for line in lines),
        "MISSIONS_INSIDE_PORT": str(inside),
        "MISSIONS_HTTP_PORT": str(http),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.main", role, cwd=PROJECT, env=variables, stderr=asyncio.subprocess.DEVNULL
    )

    async def ready() -> bool:
        assert process.returncode is None, f"the {role} ended by itself"
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"http://127.0.0.1:{inside}/readyz")).status_code == 200
        return False

    try:
        await until(ready, f"a second {role} is ready")
        yield process, f"http://127.0.0.1:{http}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def end(process: Process) -> None:
    """SIGTERM; the process must end by itself in time, and say that all is well."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await process.wait() == 0


@pytest.mark.parametrize("role", ["processor", "relay", "scheduler"])
async def test_a_role_that_works_in_the_background_drains(system: Running, role: str) -> None:
    learner = system.learner(f"drain-{role}")
    await learner.opens_app()
    async with second(system, role) as (process, _):
        load = asyncio.create_task(learner.does(xp(1), times=300))
        await learner.does(lesson())
        await end(process)
        await load
    await system.drained(TOPICS)
    await learner.until_progress(daily_xp_20=1)  # the copies of one event


async def answers(
    url: str, headers: dict[str, str], calls: Sequence[tuple[str, str, dict[str, str] | None]]
) -> list[int]:
    """The status of each call that a process answered; one that it did not begin any more has none."""
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as http:
        done = await asyncio.gather(
            *(http.request(m, path, json=body) for m, path, body in calls), return_exceptions=True
        )
    refused = [each for each in done if isinstance(each, BaseException)]
    assert all(isinstance(each, httpx.TransportError) for each in refused), refused
    return [each.status_code for each in done if isinstance(each, httpx.Response)]


async def granted(system: Running, assignment: str) -> None:
    """Waits until the first of many claims has been granted: the others are under way."""

    async def is_there() -> bool:
        return bool(await system.fetch("select from reward_grant where assignment_id = $1", assignment))

    await until(is_there, "a grant")


async def test_claims_answers_what_it_has_begun_and_grants_once(system: Running) -> None:
    learner = system.learner("drain-claims")
    await learner.opens_app()
    await learner.does(lesson())
    missions = await learner.until(lambda m: m["daily-lesson-1"]["status"] == "COMPLETED", "a completed mission")
    assignment = missions["daily-lesson-1"]["assignment_id"]
    async with second(system, "claims") as (process, url):
        calls = [("POST", "/missions/claim", {"assignment_id": assignment})] * 50
        claiming = asyncio.create_task(answers(url, learner.headers, calls))
        await granted(system, assignment)
        await end(process)
        assert set(await claiming) <= {200}
    assert (await learner.claim(assignment)).status_code == 200
    grants = await system.fetch("select count(*) from reward_grant where assignment_id = $1", assignment)
    assert grants[0][0] == 1


async def test_the_api_answers_what_it_has_begun(system: Running) -> None:
    learner = system.learner("drain-api")
    await learner.opens_app()
    async with second(system, "api") as (process, url):
        reading = asyncio.create_task(answers(url, learner.headers, [("GET", "/missions", None)] * 50))
        await asyncio.sleep(0)
        await end(process)
        assert set(await reading) <= {200}
