"""`missions partitions list | resume | restart`: which input partitions stand still, why, and letting them go on."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from services.cli.dead_letters import Who, Why, operator
from services.cli.output import Format, print_json
from services.cli.run import run, settings_of, stop

if TYPE_CHECKING:
    from uuid import UUID

    from services.adapters.ledger.actions import By
    from services.adapters.ledger.partitions import PartitionStore

app = typer.Typer(help="Input partitions: which stand still, why, and letting them go on.", no_args_is_help=True)

Result = TypeVar("Result")
Topic = Annotated[str, typer.Argument(help="The topic in, with the deployment's prefix")]


@app.command("list")
def list_partitions(
    stopped: Annotated[bool, typer.Option("--stopped", help="Only those that are stopped")] = False,
    output: Annotated[Format, typer.Option("--format", help="For people, or for programs")] = Format.TABLE,
) -> None:
    """Show how far each input partition has been applied, and which are stopped, why, and the command to go on."""

    async def work(store: "PartitionStore") -> None:
        stops = await store.stops()
        listed = [each for each in await store.listed() if each.stopped or not stopped]
        if output is Format.JSON:
            print_json({"partitions": listed, "stops": stops})
            return
        console = Console()
        table = Table("topic", "partition", "account", "position", "dead letters", "lost", "")
        for each in listed:
            mark = f"[red]✗ {each.stopped}[/]" if each.stopped else "[green]✓[/]"
            counts = (each.position, each.dead_letters, each.lost)
            table.add_row(each.topic, str(each.partition), str(each.incarnation), *(f"{n:,}" for n in counts), mark)
        if listed:
            console.print(table)
        for stop_ in stops:
            console.print(f"[red]✗[/] {stop_.topic}[{stop_.partition}] since {stop_.since:%Y-%m-%d %H:%M:%S}:", end=" ")
            console.print(stop_.text, markup=False, highlight=False, soft_wrap=True)
        if not stops:
            console.print("[green]✓[/] no partition is stopped")

    _run(work)


@app.command()
def resume(
    topic: Topic,
    partition: Annotated[int, typer.Argument(help="Its number")],
    accept: Annotated[int, typer.Option(min=0, help="Let so many more bad records become dead letters")] = 0,
    everything: Annotated[
        bool, typer.Option("--all", help="Let all bad records that are in the log now become dead letters")
    ] = False,
    why: Why = None,
    who: Who = None,
) -> None:
    """Let a stopped partition go on from where it stands. Without --accept or --all, a record that is still bad stops it again."""
    from services.adapters.ledger.actions import By
    from services.adapters.ledger.partitions import CannotResume

    async def work(store: "PartitionStore") -> None:
        until = await _end_of(topic, partition) if everything else 0
        try:
            was = await store.resume(topic, partition, By(who or operator(), why), accept=accept, accept_until=until)
        except CannotResume as error:
            stop(str(error), "`missions partitions list` shows which are")
        typer.echo(f"{topic}[{partition}] goes on from {was.position}; it was stopped for {was.reason}")

    _run(work)


@app.command()
def restart(
    topic: Topic,
    confirm: Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would be done")] = False,
    why: Why = None,
    who: Who = None,
) -> None:
    """Close the accounts of a topic that was made anew or cut off, and read today's topic from its beginning.

    For a topic out: publish to today's topic.

    Events that were applied before are known by their ids and not counted twice, for as long as the event log goes back.
    """
    from mission_events import TOPICS_OUT
    from services.adapters.kafka.access import security_of
    from services.adapters.kafka.admin import topic_state
    from services.adapters.ledger.actions import By

    async def work(store: "PartitionStore") -> None:
        state = await topic_state(_servers().kafka_bootstrap, topic, security=security_of(_servers()))
        by = By(who or operator(), why)
        if (name := topic.removeprefix(_servers().topic_prefix)) in {each.name for each in TOPICS_OUT}:
            await _restart_output(store, name, state.topic_id, by, confirm=confirm)
            return
        done = await store.restart(topic, state.starts, state.topic_id, by, dry_run=not confirm)
        for account in done:
            begins = "is gone" if account.start is None else f"begins again at {account.start}"
            typer.echo(
                f"{topic}[{account.partition}]: the account that stood at {account.position} is closed, {begins}"
            )
        if not done:
            typer.echo("every account fits today's topic: nothing to do")
        elif not confirm:
            typer.echo("nothing was done: repeat with --confirm")

    _run(work)


async def _restart_output(
    store: "PartitionStore", name: str, topic_id: "UUID | None", by: "By", *, confirm: bool
) -> None:
    partitions = await store.restart_output(name, topic_id, by, dry_run=not confirm) if topic_id else []
    if not partitions:
        typer.echo("the relay publishes to today's topic: nothing to do")
    elif confirm:
        typer.echo(f"the relay publishes to today's {name}, {len(partitions)} partitions, within seconds")
    else:
        typer.echo(f"the relay would publish to today's {name}; nothing was done: repeat with --confirm")


async def _end_of(topic: str, partition: int) -> int:
    from services.adapters.kafka.access import security_of
    from services.adapters.kafka.admin import end_offsets
    from services.adapters.kafka.records import PartitionId

    ends = await end_offsets(_servers().kafka_bootstrap, [topic], security=security_of(_servers()))
    if PartitionId(topic, partition) not in ends:
        stop(f"{topic} has no partition {partition}", "`missions partitions list` shows those that were read")
    return ends[PartitionId(topic, partition)]


def _servers() -> Any:
    from services.adapters.settings import ServerSettings

    return settings_of(ServerSettings)


def _run(work: "Callable[[PartitionStore], Awaitable[Result]]") -> Result:
    async def with_store() -> Result:
        async with _store() as store:
            return await work(store)

    return run(with_store())


@asynccontextmanager
async def _store() -> "AsyncIterator[PartitionStore]":
    from services.adapters.ledger.partitions import PartitionStore
    from services.operations.startup import open_ledger

    async with open_ledger(_servers(), "partitions", size=1) as pool:
        yield PartitionStore(pool)
