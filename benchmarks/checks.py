"""Makes sure that what was fast was also right."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.adapters.ledger.connection import Pool
from services.adapters.projection import Projection
from services.missions.state import Assignment, UserState, decode_state

from .events import Stream, user_id
from .expected import Progress, expected_progress
from .publish import Filled, Published
from .sql import queries
from .world import PROJECTION_TIMEOUT_SECONDS, Side, connected

_SQL = queries("measure")


class WrongResult(Exception):
    """A side did not do what it was measured for; the message lists what is wrong."""


Writes = dict[str, int]
"""Rows or writes by table."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a side has written, and what was looked at."""

    writes: Writes
    outcomes: dict[str, int]
    """Records by what became of them, as the side accounts for them itself; empty if it does not."""
    users_checked: int
    stale_keys: int
    """Users of the sample whose Redis state is not the ledger's."""


async def count_writes(side: Side) -> Writes:
    """What is in the ledger now."""
    async with connected(side.addresses.postgres_dsn) as pool:
        return dict((await pool.fetchrow(_SQL["writes"])) or {})


async def check_processor(side: Side, published: Published, filled: Filled, stream: Stream, before: Writes) -> Facts:
    """Every record accounted for, every event logged once, progress as counted by hand, Redis as the ledger. Raises WrongResult."""
    async with connected(side.addresses.postgres_dsn) as pool:
        outcomes = dict((await pool.fetchrow(_SQL["outcomes"])) or {})
        facts, wrong = await _check(pool, side, published, filled, stream, before)
    counted = outcomes["applied"] + outcomes["unmatched"]
    expected = {"offsets": published.records, "duplicate": published.records - published.events}
    wrong += [f"{what}: {outcomes[what]}, expected {n}" for what, n in expected.items() if outcomes[what] != n]
    if counted != published.events:
        wrong.append(f"applied and unmatched: {counted}, expected {published.events}")
    if facts.stale_keys:
        wrong.append(f"Redis differs from the ledger for {facts.stale_keys} of {facts.users_checked} users")
    _raise(side, wrong)
    return replace(facts, outcomes=outcomes)


async def check_per_event_agent(
    side: Side, published: Published, filled: Filled, stream: Stream, before: Writes
) -> Facts:
    """As for the processor, but it keeps no account of records, and its SETs may overtake each other. Raises WrongResult."""
    async with connected(side.addresses.postgres_dsn) as pool:
        facts, wrong = await _check(pool, side, published, filled, stream, before)
    _raise(side, wrong)
    return facts


async def check_same(one: Side, other: Side, users: Iterable[int], stream: Stream) -> int:
    """Both sides gave the same progress to these users, as far as one day holds all their events. Returns how many were compared."""
    compared = [user for user in users if stream.is_one_day_for(user)]
    progress = []
    for side in (one, other):
        async with connected(side.addresses.postgres_dsn) as pool:
            states = await _ledger_states(pool, compared)
        progress.append(
            {user: sorted((a.mission_id, _progress(a), a.status) for a in s.assignments) for user, s in states.items()}
        )
    wrong = [user for user in progress[0].keys() | progress[1].keys() if progress[0].get(user) != progress[1].get(user)]
    if wrong:
        example = min(wrong)
        raise WrongResult(
            f"{one.name} and {other.name} differ in {len(wrong)} of {len(compared)} users; "
            f"{example}: {progress[0].get(example)} and {progress[1].get(example)}"
        )
    return len(progress[0])


async def _check(
    pool: Pool, side: Side, published: Published, filled: Filled, stream: Stream, before: Writes
) -> tuple[Facts, list[str]]:
    after = dict((await pool.fetchrow(_SQL["writes"])) or {})
    writes = {what: count - before[what] for what, count in after.items()}
    states = await _ledger_states(pool, filled.of_user)
    logged = {row[0]: row[1] for row in await pool.fetch(_SQL["log_of_users"], [user_id(u) for u in filled.of_user])}
    wrong = []
    if writes["event_log"] != published.events:
        wrong.append(f"event log: {writes['event_log']} rows, expected {published.events}")
    for user, events in filled.of_user.items():
        distinct = len({event.value for event in events})
        if logged.get(user_id(user)) != distinct:
            wrong.append(f"{user_id(user)}: {logged.get(user_id(user))} events logged, expected {distinct}")
        if stream.is_one_day_for(user):
            got, expected = _progress_of(states.get(user_id(user))), expected_progress(events)
            if got != expected:
                wrong.append(f"{user_id(user)}: progress {got}, expected {expected}")
    stale = await _stale_keys(side, states)
    return Facts(writes, {}, len(filled.of_user), stale), wrong


async def _stale_keys(side: Side, states: dict[str, UserState]) -> int:
    projection = Projection.connect(side.addresses.redis_url, side.prefix, timeout_seconds=PROJECTION_TIMEOUT_SECONDS)
    try:
        cached = await projection.load(list(states))
    finally:
        await projection.close()
    return sum(1 for user, state in states.items() if cached.get(user) != state)


async def _ledger_states(pool: Pool, users: Iterable[int]) -> dict[str, UserState]:
    rows = await pool.fetch(_SQL["states"], [user_id(user) for user in users])
    return {row[0]: decode_state(row[1]) for row in rows}


def _progress(assignment: Assignment) -> list[float]:
    return [objective.progress for objective in assignment.objectives]


def _progress_of(state: UserState | None) -> Progress | None:
    if state is None:
        return None
    return {a.mission_id: int(sum(_progress(a))) for a in state.assignments}


def _raise(side: Side, wrong: list[str]) -> None:
    if wrong:
        more = [f"… and {len(wrong) - 10} more"] if len(wrong) > 10 else []
        raise WrongResult("\n  ".join([f"{side.name} did not do the work that was measured:", *wrong[:10], *more]))
