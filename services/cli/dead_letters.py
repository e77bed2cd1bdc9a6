"""`missions dead-letters list | show | replay | purge | reasons`: records that could not be applied, and why."""

import getpass
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from services.cli.output import Format, print_json
from services.cli.run import run, settings_of, stop
from services.cli.times import instant_or_ago

if TYPE_CHECKING:
    from services.adapters.ledger.actions import By
    from services.adapters.ledger.dead_letters import LetterFilter, StoredLetter
    from services.operations.dead_letters import DeadLetters, Kept

app = typer.Typer(help="Records that could not be applied, and why.", no_args_is_help=True)

SHOWN_BYTES_MAX = 4096
"""Of a value on a terminal; `--raw` writes all of it."""

SHOWN_KEPT_MAX = 10
"""Letters that could not be replayed, in one answer; the others are counted."""

Result = TypeVar("Result")
Topic = Annotated[str, typer.Argument(help="Topic of the original record")]
Partition = Annotated[int, typer.Argument(help="Its partition")]
Offset = Annotated[int, typer.Argument(help="Its offset")]
AnyTopic = Annotated[str | None, typer.Argument(help="Topic of the original record, with its partition and offset")]
AnyPartition = Annotated[int | None, typer.Argument(help="Its partition")]
AnyOffset = Annotated[int | None, typer.Argument(help="Its offset")]
Reason = Annotated[str | None, typer.Option(help="Only this reason code; `reasons` lists them")]
OfTopic = Annotated[str | None, typer.Option("--topic", help="Only from this topic")]
Since = Annotated[str | None, typer.Option(help="Kept since then: 2026-11-22T08:00:00Z, or 90s, 15m, 2h, 7d ago")]
Until = Annotated[str | None, typer.Option(help="Kept before then")]
State = Annotated[
    str | None, typer.Option(help="`open`: never sent through again, or come back; `replayed`: the others")
]
Why = Annotated[str | None, typer.Option(help="Why; the record of actions keeps it")]
Who = Annotated[str | None, typer.Option("--by", help="Who does it; default: you, as this machine knows you")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]
How = Annotated[Format, typer.Option("--format", help="For people, or for programs")]


@app.command("list")
def list_letters(
    reason: Reason = None,
    topic: OfTopic = None,
    since: Since = None,
    until: Until = None,
    state: State = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first")] = 20,
    output: How = Format.TABLE,
) -> None:
    """Count dead letters by topic and reason, and list the newest."""
    which = _filter(reason, topic, since, until, state)

    async def work(letters: "DeadLetters") -> None:
        counted = await letters.store.counts(which)
        listed = await letters.store.listed(which, limit)
        if output is Format.JSON:
            print_json({"counts": counted, "dead_letters": listed})
            return
        console = Console()
        if not counted:
            console.print("[green]✓[/] no dead letters" + (" like that" if which.told() else ""))
            return
        counts = Table("topic", "reason", "letters", "open", "newest")
        for c in counted:
            counts.add_row(c.topic, c.reason, f"{c.letters:,}", f"{c.open:,}", f"{c.newest:%Y-%m-%d %H:%M:%S}")
        console.print(counts)
        table = Table("topic", "partition", "offset", "reason", "detail", "state")
        for letter in listed:
            became = f"{letter.state}, came back {letter.returns} times" if letter.returns else str(letter.state)
            table.add_row(*map(str, letter.place[:3]), letter.reason, letter.detail, became)
        console.print(table)

    _run(work)


@app.command()
def reasons(output: How = Format.TABLE) -> None:
    """List the reason codes: what each means, and what its publisher does about it."""
    from services.operations.dead_letters import REASONS

    if output is Format.JSON:
        print_json([{"reason": code, "meaning": meaning, "fix": fix} for code, meaning, fix in REASONS])
        return
    table = Table("reason", "what is wrong", "what to do")
    for each in REASONS:
        table.add_row(*each)
    Console().print(table)


@app.command()
def show(
    topic: Topic,
    partition: Partition,
    offset: Offset,
    raw: Annotated[bool, typer.Option(help="Write the original value, byte for byte")] = False,
) -> None:
    """Show one dead letter: reason, detail, headers, the original value, and what happened to it since."""

    async def work(letters: "DeadLetters") -> None:
        letter = await letters.find(topic, partition, offset)
        if raw:
            typer.get_binary_stream("stdout").write(letter.value or b"")
            return
        _show(letter)

    _run(work)


@app.command()
def replay(  # noqa: PLR0913 - each is an option of the command
    topic: AnyTopic = None,
    partition: AnyPartition = None,
    offset: AnyOffset = None,
    *,
    of_topic: OfTopic = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    state: State = "open",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many")] = None,
    now: Annotated[bool, typer.Option("--now", help="Judge them as if they came now, not as on their day")] = False,
    why: Why = None,
    who: Who = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Publish original records again to their topic: one by its place, or all that options name.

    What was counted before is not counted twice; what is as bad as before comes back into the history of its letter.
    """
    from services.operations.dead_letters import Kept, Timestamp

    timestamp = Timestamp.NOW if now else Timestamp.ORIGINAL
    place = _place(topic, partition, offset)
    which = _filter(reason, of_topic, since, until, state)
    if place is None and not (reason or of_topic or since or until):
        stop("nothing says which letters to replay", "name a place, or options such as --reason, --topic, --since")

    async def one(letters: "DeadLetters") -> None:
        letter = await letters.find(*(place or ("", 0, 0)))
        if dry_run:
            typer.echo(f"would publish {letter.place.text} again")
            return
        outcome = await letters.replay(letter, timestamp, _by(who, why))
        if isinstance(outcome, Kept):
            _cannot([outcome])
        typer.echo(f"published again as {letter.place.topic} partition {outcome.partition} offset {outcome.offset}")

    async def many(letters: "DeadLetters") -> None:
        from services.cli.operations import counter

        found = sum(c.letters for c in await letters.store.counts(which))
        found = found if limit is None else min(found, limit)
        if not _confirmed(found, "published again", dry_run=dry_run, yes=yes):
            return
        with counter("letters published again") as told:
            sent, kept = await letters.replay_all(which, timestamp, _by(who, why), limit=limit, told=told)
        typer.echo(f"{sent} letters published again")
        if kept:
            _cannot(kept)

    _run(one if place else many)


@app.command()
def purge(  # noqa: PLR0913 - each is an option of the command
    topic: AnyTopic = None,
    partition: AnyPartition = None,
    offset: AnyOffset = None,
    *,
    of_topic: OfTopic = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    state: State = None,
    why: Why = None,
    who: Who = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Delete letters for good: one by its place, or all that options name. The record of actions keeps who, when, why and how many."""
    place = _place(topic, partition, offset)
    which = _filter(reason, of_topic, since, until, state)
    if place is None and not which.told():
        stop("nothing says which letters to purge", "name a place, or options such as --reason, --topic, --until 30d")

    async def work(letters: "DeadLetters") -> None:
        if place is not None:
            letter = await letters.find(*place)
            if _confirmed(1, "deleted", dry_run=dry_run, yes=yes):
                await letters.store.purge_one(letter.place, _by(who, why))
                typer.echo("1 letter deleted")
            return
        found = sum(c.letters for c in await letters.store.counts(which))
        if _confirmed(found, "deleted", dry_run=dry_run, yes=yes):
            typer.echo(f"{await letters.store.purge(which, _by(who, why))} letters deleted")

    _run(work)


def _show(letter: "StoredLetter") -> None:
    typer.echo(f"reason   {letter.reason}\ndetail   {letter.detail}\nrecorded {letter.recorded_at:%Y-%m-%dT%H:%M:%SZ}")
    typer.echo(f"key      {letter.key!r}")
    for name, header in letter.headers:
        typer.echo(f"header   {name}: {header!r}")
    value = letter.value if letter.value is None else letter.value[:SHOWN_BYTES_MAX]
    typer.echo(f"value    {value!r}" + ("" if letter.value is None else f" ({len(letter.value)} bytes)"))
    returned = {(line.partition, line.offset) for line in letter.history if line.what == "returned"}
    for line in letter.history:
        if line.what == "returned":
            became = f"came back from partition {line.partition} offset {line.offset}: {line.reason}: {line.detail}"
        elif line.offset is None:
            became = f"replay begun by {line.by}; not known to be published: replay it again"
        else:
            passed = (
                "is not read yet" if not line.is_passed else "came back" if line.at_place in returned else "was applied"
            )
            why = f" ({line.why})" if line.why else ""
            became = f"replayed by {line.by}{why} as partition {line.partition} offset {line.offset}, which {passed}"
        typer.echo(f"history  {line.at:%Y-%m-%dT%H:%M:%SZ} {became}")


def _place(topic: str | None, partition: int | None, offset: int | None) -> tuple[str, int, int] | None:
    if topic is None:
        return None
    if partition is None or offset is None:
        stop(f"{topic} alone is no place", "give TOPIC PARTITION OFFSET, or --topic for all letters of a topic")
    return topic, partition, offset


def _filter(
    reason: str | None, topic: str | None, since: str | None, until: str | None, state: str | None
) -> "LetterFilter":
    from services.adapters.ledger.dead_letters import LetterFilter, LetterState

    if state is not None and state not in tuple(LetterState):
        stop(f"{state!r} is no state of a letter", f"one of {', '.join(LetterState)}")
    return LetterFilter(
        reason, topic, instant_or_ago(since), instant_or_ago(until), None if state is None else LetterState(state)
    )


def _confirmed(letters: int, done: str, *, dry_run: bool, yes: bool) -> bool:
    if dry_run or not letters:
        typer.echo(f"{letters} letters would be {done}")
        return False
    return yes or typer.confirm(f"{letters} letters will be {done}. Go on?", abort=True)


def _cannot(kept: "list[Kept]") -> NoReturn:
    lines = [f"{each.place.text}: {each.why}" for each in kept[:SHOWN_KEPT_MAX]]
    more = f"; and {len(kept) - SHOWN_KEPT_MAX} more" if len(kept) > SHOWN_KEPT_MAX else ""
    stop(f"not published again: {'; '.join(lines)}{more}", "the lines say why; `purge` deletes what is of no use")


def _by(who: str | None, why: str | None) -> "By":
    from services.adapters.ledger.actions import By

    return By(who or operator(), why)


def operator() -> str:
    """Who types, as far as this machine knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _run(work: "Callable[[DeadLetters], Awaitable[Result]]") -> Result:
    async def with_letters() -> Result:
        async with _letters() as letters:
            return await work(letters)

    from services.adapters.kafka.errors import PublishFailed
    from services.operations.dead_letters import NoLetter

    try:
        return run(with_letters())
    except NoLetter as error:
        stop(str(error), "missions dead-letters list")
    except PublishFailed as error:
        stop(str(error), "repeat the command: what was published counts once")


@asynccontextmanager
async def _letters() -> "AsyncIterator[DeadLetters]":
    from services.adapters.kafka.access import security_of
    from services.adapters.ledger.dead_letters import DeadLetterStore
    from services.adapters.settings import ServerSettings
    from services.operations.dead_letters import DeadLetters
    from services.operations.startup import open_ledger

    settings = settings_of(ServerSettings)
    async with open_ledger(settings, "dead-letters", size=1) as pool:
        yield DeadLetters(DeadLetterStore(pool), settings.kafka_bootstrap, security_of(settings))
