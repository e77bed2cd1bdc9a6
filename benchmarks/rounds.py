"""One run of all sides on fresh servers, one after the other, on the same events."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .bare_writes import record, replay
from .checks import Facts, check_per_event_agent, check_processor, check_same, count_writes
from .events import Stream
from .known_users import issue_to, known_users
from .peers.environment import Environment
from .peers.expected import expected_completions
from .peers.side import PEERS, Source, can_run, run_peer
from .publish import SingleTopics, publish
from .sides import Measured, Tuning, run_per_event_agent, run_processor
from .world import Side, World, copy_ledger, create_side, create_topics

SAMPLE_USERS = 300
"""Users whose progress is counted by hand."""

PEER_PARTITIONS = 8
"""Of the peers' single topic: more than any of them uses at once here."""

REFRESHES_PER_SECOND = 2
"""Of a bar: at rich's ten, drawing it takes a fortieth of a core from whoever is measured."""

PROCESSOR_KEEPS = "Postgres + Redis, position in the same transaction; each event counts once after kill -9"
TWO_KEEP = "the same; both share the partitions, and the machine's two cores with all servers"
AGENT_KEEPS = "Postgres + Redis, Kafka's offset on a timer; what fails is acknowledged"
BARE_KEEPS = "Postgres alone; the processor's own writes, nothing read, decided or published"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run measures."""

    events: int
    users: int
    new_users: float
    agent_events: int
    table_events: int
    bare_events: int
    seed: int
    batch_size: int
    lanes: int
    without_peers: bool
    environment: Environment


@dataclass(frozen=True, slots=True)
class Row:
    """One side of one run."""

    name: str
    title: str
    keeps: str
    """What a reader must know about its promises to compare the figures."""
    measured: Measured
    facts: Facts | None = None
    events: int = 0
    """Events without repeated ones, for the writes per event; 0 where nobody counts them."""

    @property
    def core_microseconds(self) -> float:
        """Of all cores, for one event."""
        return self.measured.load.core_microseconds(self.measured.per_second)


@dataclass(slots=True)
class Round:
    """What one run found."""

    rows: list[Row] = field(default_factory=list)
    users_compared: int = 0

    def of(self, name: str) -> Row | None:
        """A side by its name."""
        return next((row for row in self.rows if row.name == name), None)


async def measure_round(plan: Plan, world: World, console: Console) -> Round:
    """Runs every side once. Raises `SideFailed` and `WrongResult`."""
    stream = Stream(plan.events, plan.users, plan.seed, datetime.now(UTC))
    whole, twin, part = [await create_side(name, world) for name in ("processor", "processors", "per_event_agent")]
    every = _every(plan.events, plan.agent_events)
    single = SingleTopics("peers.all", "peers.some", _every(plan.events, plan.table_events))
    await create_topics(world, [single.whole, single.part], PEER_PARTITIONS)
    users = range(0, plan.users, every)
    sample = frozenset(random.Random(plan.seed).sample(users, min(SAMPLE_USERS, len(users))))
    known = known_users(plan.users, plan.new_users, plan.seed)
    for side, part_of_known in ((whole, known), (twin, known), (part, [user for user in known if user % every == 0])):
        with bar(console, "missions issued", len(part_of_known)) as told:
            await issue_to(side, part_of_known, stream.since, told)
    recorded, bare = [await copy_ledger(whole, name, world) for name in ("recorded", "bare")]
    before, twin_before, part_before = [await count_writes(side) for side in (whole, twin, part)]
    with bar(console, "events published", plan.events) as told:
        peers_topics = None if plan.without_peers else single
        filled = await publish(
            stream, whole, part, twin=twin, every=every, sample=sample, told=told, single=peers_topics
        )
    found = Round()
    # The smaller runs first: what the larger ones leave to the servers' housekeeping would slow them down.
    with bar(console, "per-event agent", filled.part.records) as told:
        agent = await run_per_event_agent(world, part, filled.part.records, told)
    facts = await check_per_event_agent(part, filled.part, filled, stream, part_before)
    found.rows.append(
        Row("per-event-agent", "Faust agent, event by event", AGENT_KEEPS, agent, facts, filled.part.events)
    )
    if not plan.without_peers:
        await _measure_peers(plan, world, console, stream, single, found)
    for name, title, keeps, side, written, processors in (
        ("processor", "missions processor", PROCESSOR_KEEPS, whole, before, 1),
        ("two-processors", "two missions processors", TWO_KEEP, twin, twin_before, 2),
    ):
        with bar(console, title, filled.whole.records) as told:
            tuning = Tuning(plan.batch_size, plan.lanes, processors)
            measured = await run_processor(world, side, filled.whole.records, tuning, told)
        facts = await check_processor(side, filled.whole, filled, stream, written)
        found.rows.append(Row(name, title, keeps, measured, facts, filled.whole.events))
    found.users_compared = await check_same(whole, part, users, stream)
    if not plan.without_peers:
        found.rows.append(await _measure_bare_writes(plan, whole, recorded, bare, console))
    return found


async def _measure_peers(
    plan: Plan, world: World, console: Console, stream: Stream, single: SingleTopics, found: Round
) -> None:
    events = list(stream)
    some = [event for event in events if event.user % single.every == 0]
    sources = {
        is_slow: Source(topic, PEER_PARTITIONS, len(published), expected_completions(published))
        for is_slow, topic, published in ((True, single.part, some), (False, single.whole, events))
    }
    for peer in PEERS:
        if can_run(peer, plan.environment):
            source = sources[peer.is_slow]
            with bar(console, peer.name, source.records) as told:
                measured = await run_peer(peer, world, plan.environment, source, told)
            found.rows.append(Row(peer.name, peer.title, peer.keeps, measured))


async def _measure_bare_writes(plan: Plan, whole: Side, recorded: Side, bare: Side, console: Console) -> Row:
    with console.status("recording the processor's writes"):
        transactions, records = await record(recorded, whole, plan.bare_events, plan.batch_size)
    with bar(console, "bare writes", records) as told:
        measured = await replay(bare, transactions, records, plan.lanes, told)
    return Row("bare-writes", "the same rows, bare batched writes", BARE_KEEPS, measured)


def _every(events: int, wanted: int) -> int:
    return max(round(events / wanted), 1)


@contextmanager
def bar(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that is told how much is done."""
    columns = (
        TextColumn(f"{what:18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>8}/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=REFRESHES_PER_SECOND) as progress:
        task = progress.add_task(what, total=total, rate="")

        def told(done: int) -> None:
            speed = progress.tasks[task].speed or 0.0
            # A batch may carry the bar a little past a total that counts events, not repeated records.
            progress.update(task, completed=min(done, total), rate=f"{speed:,.0f}")

        yield told
