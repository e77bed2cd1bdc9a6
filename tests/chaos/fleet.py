"""The roles of a chaos run as processes, started as users start them, and a keeper that starts again what has ended."""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import httpx

from services.adapters.crash_points import EXIT_CRASHED
from services.stack.errors import StackError
from services.stack.ports import Ports
from services.stack.roles import ROLE_PLANS, Role

PLANS = {plan.name: plan for plan in ROLE_PLANS}
KEEPER_SECONDS = 0.1
RESTART_SECONDS = 1.0
"""Before a role that could not start is started again: what an orchestrator would do, only sooner."""


class Member:
    """One process of the fleet. Killed, it stays down until it is started or the keeper finds it."""

    def __init__(self, name: str, role: str, directory: Path, ports: Ports, environment: Mapping[str, str]) -> None:
        self.name = name
        self.role = role
        self.process = Role(PLANS[role], directory / name, ports)
        self.wanted = False
        self.environment = dict(environment)
        """Of every start from now on."""
        self._next_start = 0.0

    @property
    def url(self) -> str:
        """Where its HTTP calls go, for claims and api."""
        return f"http://127.0.0.1:{self.process.http_port}"

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self.process.pid is not None

    def start(self, **more: str) -> None:
        """Starts it, without waiting; `more` goes into this start's environment."""
        self.wanted = True
        self._next_start = monotonic() + RESTART_SECONDS
        self.process.start({**self.environment, **more})

    async def is_ready(self) -> bool:
        """Whether it does its work."""
        return self.runs and await asyncio.to_thread(self.process.is_ready)

    async def until_ready(self, seconds: float) -> float | None:
        """Waits until it does its work; when that was (monotonic), None if it takes longer."""
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            if await self.is_ready():
                return monotonic()
            await asyncio.sleep(KEEPER_SECONDS)
        return None

    async def come(self, seconds: float) -> None:
        """Starts it until it does its work, at most for so long: a role whose servers are away at its start ends by itself."""
        deadline = monotonic() + seconds
        while monotonic() < deadline and not await self.is_ready():
            if not self.runs and monotonic() >= self._next_start:
                self.start()
            await asyncio.sleep(KEEPER_SECONDS)

    async def metric(self, name: str) -> float:
        """One of its metrics that has no labels. Raises what httpx raises while it does not answer."""
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"http://127.0.0.1:{self.process.inside_port}/metrics")
        [line] = [line for line in answer.text.splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[1])

    async def until_gone(self, start_seconds: float, seconds: float) -> bool:
        """Waits until its process has ended: for so long until it is ready, and so long from then on. False if it goes on."""
        deadline = monotonic() + start_seconds
        ready = False
        while self.runs:
            if not ready and await self.is_ready():
                ready, deadline = True, monotonic() + seconds
            if monotonic() > deadline:
                return False
            await asyncio.sleep(KEEPER_SECONDS)
        return True

    async def kill(self) -> None:
        """`kill -9`; it stays down until started again."""
        self.wanted = False
        await asyncio.to_thread(self.process.kill_hard)

    async def end(self) -> None:
        """Asks it to end, and waits."""
        self.wanted = False
        self.send(signal.SIGCONT)
        await asyncio.to_thread(self.process.stop)

    def send(self, which: signal.Signals) -> None:
        """A signal to its process."""
        self.process.send(which)

    def may_start(self) -> bool:
        """Whether the keeper should start it now."""
        return self.wanted and not self.runs and monotonic() >= self._next_start


@dataclass
class Ended:
    """A process that ended without being killed from outside."""

    member: str
    code: int | None

    @property
    def at_crash_point(self) -> bool:
        """Whether it ended itself because a test had armed it."""
        return self.code == EXIT_CRASHED


@dataclass
class Fleet:
    """All members, by name."""

    members: dict[str, Member]
    ended: list[Ended] = field(default_factory=list)

    def of(self, role: str) -> list[Member]:
        """The members of one role."""
        return [member for member in self.members.values() if member.role == role]

    async def start(self) -> None:
        """Starts all, and waits until all are ready. Raises StackError."""
        for member in self.members.values():
            member.start()
        await asyncio.gather(*(asyncio.to_thread(m.process.wait_ready) for m in self.members.values()))

    async def keep(self) -> None:
        """Until cancelled: starts again what has ended, and notes how it ended."""
        while True:
            for member in self.members.values():
                if member.wanted and not member.runs:
                    if (code := member.process.exit_code) is not None and member.may_start():
                        self.ended.append(Ended(member.name, code))
                    if member.may_start():
                        try:
                            member.start()
                        except StackError:
                            continue  # its port is not free yet
            await asyncio.sleep(KEEPER_SECONDS)

    async def end(self) -> None:
        """Ends all."""
        await asyncio.gather(*(member.end() for member in self.members.values()))
