"""`missions dead-letters list | show | replay`: records that could not be applied, and why."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from services.cli.run import run, settings_of, stop

if TYPE_CHECKING:
    from services.adapters.ledger.dead_letters import DeadLetterStore

app = typer.Typer(help="Records that could not be applied, and why.", no_args_is_help=True)

SHOWN_BYTES_MAX = 4096
"""Of a value on a terminal; `--raw` writes all of it."""

Result = TypeVar("Result")
Topic = Annotated[str, typer.Argument(help="Topic of the original record")]
Partition = Annotated[int, typer.Argument(help="Its partition")]
Offset = Annotated[int, typer.Argument(help="Its offset")]


@app.command("list")
def list_letters(
    reason: Annotated[str | None, typer.Option(help="Only this reason code")] = None,
    topic: Annotated[str | None, typer.Option(help="Only from this topic")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first")] = 20,
) -> None:
    """Count dead letters by topic and reason, and list the newest."""

    async def work(store: "DeadLetterStore") -> None:
        counted = await store.counts()
        console = Console()
        if not counted:
            console.print("[green]✓[/] no dead letters")
            return
        counts = Table("topic", "reason", "letters", "newest")
        for name, code, letters, newest in counted:
            counts.add_row(name, code, f"{letters:,}", f"{newest:%Y-%m-%d %H:%M:%S}")
        console.print(counts)
        table = Table("topic", "partition", "offset", "reason", "detail", "replayed")
        for letter in await store.listed(reason, topic, limit):
            replayed = f"{letter.replayed_at:%Y-%m-%d %H:%M}" if letter.replayed_at else ""
            place = (letter.topic, str(letter.partition), str(letter.offset))
            table.add_row(*place, letter.reason, letter.detail, replayed)
        console.print(table)

    _with_store(work)


@app.command()
def show(
    topic: Topic,
    partition: Partition,
    offset: Offset,
    raw: Annotated[bool, typer.Option(help="Write the original value, byte for byte")] = False,
) -> None:
    """Show one dead letter: reason, detail, headers and the original value."""

    async def work(store: "DeadLetterStore") -> None:
        letter = await store.show(topic, partition, offset)
        if letter is None:
            stop(f"there is no dead letter at {topic} {partition} {offset}", "missions dead-letters list")
        if raw:
            typer.get_binary_stream("stdout").write(letter.value or b"")
            return
        typer.echo(
            f"reason   {letter.reason}\ndetail   {letter.detail}\nrecorded {letter.recorded_at:%Y-%m-%dT%H:%M:%SZ}"
        )
        typer.echo(f"key      {letter.key!r}")
        for name, value in letter.headers:
            typer.echo(f"header   {name}: {value!r}")
        value = letter.value if letter.value is None else letter.value[:SHOWN_BYTES_MAX]
        typer.echo(f"value    {value!r}" + ("" if letter.value is None else f" ({len(letter.value)} bytes)"))

    _with_store(work)


@app.command()
def replay(topic: Topic, partition: Partition, offset: Offset) -> None:
    """Publish the original record again to its topic. What was counted before is not counted twice."""
    from services.adapters.kafka.access import security_of
    from services.adapters.kafka.producer import Publisher
    from services.adapters.settings import ServerSettings

    settings = settings_of(ServerSettings)
    security = security_of(settings)

    async def work(store: "DeadLetterStore") -> None:
        letter = await store.show(topic, partition, offset)
        if letter is None:
            stop(f"there is no dead letter at {topic} {partition} {offset}", "missions dead-letters list")
        async with Publisher(settings.kafka_bootstrap, client_id="missions-replay", security=security) as publisher:
            sent = await publisher.publish(topic, letter.key, letter.value, letter.headers)
        await store.mark_replayed(topic, partition, offset)
        typer.echo(f"published again as {sent.topic} partition {sent.partition} offset {sent.offset}")

    _with_store(work)


def _with_store(work: "Callable[[DeadLetterStore], Awaitable[Result]]") -> Result:
    return run(_work_with_store(work))


async def _work_with_store(work: "Callable[[DeadLetterStore], Awaitable[Result]]") -> Result:
    async with _store() as store:
        return await work(store)


@asynccontextmanager
async def _store() -> "AsyncIterator[DeadLetterStore]":
    from services.adapters.ledger.dead_letters import DeadLetterStore
    from services.adapters.settings import ServerSettings
    from services.operations.startup import open_ledger

    async with open_ledger(settings_of(ServerSettings), "dead-letters", size=1) as pool:
        yield DeadLetterStore(pool)
