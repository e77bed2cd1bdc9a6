"""Learners with an app: they look at their missions and claim, whatever breaks, and say what they must never see."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

CLAIM_SHARE = 0.7
"""How many of the rewards that wait are claimed at a look; the others wait for the next one."""
TRY_SECONDS = 8.0
"""An app gives a call up after so long, and tries again."""
RETRY_SECONDS = 0.3
RANKS = {"IN_PROGRESS": 0, "EXPIRED": 1, "COMPLETED": 1, "CLAIMED": 2}
"""A status goes up, never down."""

Mission = dict[str, Any]


@dataclass
class Seen:
    """The most that a learner was ever shown of one assignment."""

    progress: int = 0
    status: str = "IN_PROGRESS"


@dataclass
class Watch:
    """What all learners have seen, and what was wrong with it."""

    seen: dict[str, Seen] = field(default_factory=dict)
    grants: dict[str, bytes] = field(default_factory=dict)
    """The answer to the first claim of each assignment that got one."""
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def look(self, user: str, missions: Sequence[Mission], *, is_final: bool = False) -> None:
        """Compares what is shown now with the most that was shown before."""
        for mission in missions:
            key = mission["assignment_id"]
            seen = self.seen.setdefault(key, Seen())
            fell = mission["progress"] < seen.progress or RANKS[mission["status"]] < RANKS[seen.status]
            if fell:
                shown = f"{mission['progress']} {mission['status']} after {seen.progress} {seen.status}"
                self.fell(f"{user} {mission['mission_id']} {key}: {shown}", is_final=is_final)
            else:
                self.seen[key] = Seen(mission["progress"], mission["status"])

    def fell(self, what: str, *, is_final: bool) -> None:
        """Something was less than before: at the end that is a lost effect; on the way, a server that went back a moment."""
        self.counts["went back for a moment"] += 1
        if is_final:
            self.wrong.append(f"went back for good: {what}")

    def granted(self, assignment: str, body: bytes) -> None:
        """Compares an answer to a claim with the first one."""
        first = self.grants.setdefault(assignment, body)
        self.counts["claims answered"] += 1
        if first != body:
            self.wrong.append(f"two answers to claims of {assignment}: {first!r} and {body!r}")


class Learners:
    """All learners of a run, some of them active at once."""

    def __init__(
        self, users: Sequence[str], token: Callable[[str], str], api: str, claims: Sequence[str], seed: int
    ) -> None:
        """`api` and `claims` are base URLs: a claim goes to any of them."""
        self.watch = Watch()
        self._users = list(users)
        self._token = token
        self._tokens: dict[str, str] = {}
        self._api = api
        self._claims = [*claims, api]
        self._chance = Random(f"{seed}/learners")

    async def live(self, stopping: asyncio.Event, at_once: int) -> None:
        """Learners come and look until `stopping` is set, `at_once` at a time."""
        async with self._client() as http:
            await asyncio.gather(*(self._one_after_the_other(http, stopping) for _ in range(at_once)))

    async def look_all(self, at_once: int = 16) -> None:
        """Everybody looks once more, claims all that waits, and what they see must be the most that they ever saw."""
        places = asyncio.Semaphore(at_once)
        async with self._client() as http:

            async def last_look(user: str) -> None:
                async with places:
                    missions = await self._missions(http, user)
                    self.watch.look(user, missions, is_final=True)
                    for mission in missions:
                        if mission["status"] == "COMPLETED":
                            await self._claim(http, user, mission)

            await asyncio.gather(*(last_look(user) for user in self._users))

    async def _one_after_the_other(self, http: httpx.AsyncClient, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            user = self._chance.choice(self._users)
            missions = await self._missions(http, user, stopping)
            self.watch.look(user, missions)
            self.watch.counts["looks"] += 1
            for mission in missions:
                if mission["status"] == "COMPLETED" and self._chance.random() < CLAIM_SHARE:
                    await self._claim(http, user, mission, stopping)

    async def _missions(
        self, http: httpx.AsyncClient, user: str, stopping: asyncio.Event | None = None
    ) -> list[Mission]:
        answer = await self._until_answered(http, "GET", f"{self._api}/missions", user, None, stopping)
        if answer is None:
            return []
        if answer.status_code != httpx.codes.OK:
            self.watch.wrong.append(f"GET /missions of {user}: {answer.status_code} {answer.text[:200]}")
            return []
        found: list[Mission] = answer.json()["missions"]
        return found

    async def _claim(
        self, http: httpx.AsyncClient, user: str, mission: Mission, stopping: asyncio.Event | None = None
    ) -> None:
        """Claims, perhaps at two services at once, and perhaps once more at another one."""
        first, second = self._chance.sample(self._claims, k=2)
        together = [first] if self._chance.random() < 0.7 else [first, second]
        if self._chance.random() < 0.2:
            together.append(first)
        await asyncio.gather(*(self._claim_at(http, url, user, mission, stopping) for url in together))

    async def _claim_at(
        self, http: httpx.AsyncClient, url: str, user: str, mission: Mission, stopping: asyncio.Event | None
    ) -> None:
        assignment = mission["assignment_id"]
        body = {"assignment_id": assignment}
        answer = await self._until_answered(http, "POST", f"{url}/missions/claim", user, body, stopping)
        if answer is None:
            return
        if answer.status_code == httpx.codes.OK:
            self.watch.granted(assignment, answer.content)
        elif answer.status_code == httpx.codes.CONFLICT:
            # The ledger has lost the last moments' completions in a crash, and has not been given them again yet.
            self.watch.counts["claims too early"] += 1
        else:
            self.watch.wrong.append(f"claim of {assignment} by {user}: {answer.status_code} {answer.text[:200]}")

    async def _until_answered(
        self,
        http: httpx.AsyncClient,
        method: str,
        url: str,
        user: str,
        body: object,
        stopping: asyncio.Event | None,
    ) -> httpx.Response | None:
        """Asks until there is an answer that is no failure of a server; None when it is time to stop first."""
        token = self._tokens.setdefault(user, self._token(user))
        while stopping is None or not stopping.is_set():
            try:
                answer = await http.request(method, url, json=body, headers={"Authorization": f"Bearer {token}"})
                if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    self.watch.counts["answers 429"] += 1
                elif answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    return answer
                else:
                    self.watch.counts["answers 5xx"] += 1
            except httpx.TransportError:
                self.watch.counts["calls without an answer"] += 1
            await asyncio.sleep(RETRY_SECONDS * self._chance.uniform(0.5, 1.5))
        return None

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=TRY_SECONDS)
