"""Operator commands: migrate, issue, expire, projection rebuild, dead letters, token, demo."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.cli.run import run, settings_of, stop
from services.cli.times import instant

Now = Annotated[str | None, typer.Option(help="Act as if it were this time (RFC 3339); default: now")]


def migrate() -> None:
    """Bring the ledger to this version's schema, and make the event log's days."""
    from services.adapters.ledger.migrate import migrate as apply_migrations
    from services.adapters.settings import ServerSettings

    settings = settings_of(ServerSettings)
    applied = run(apply_migrations(settings.postgres_dsn.get_secret_value(), datetime.now(UTC).date()))
    for name in applied:
        Console().print(f"applied {name}", highlight=False)
    Console().print(f"{len(applied)} migrations applied; the ledger is up to date")


def issue(now: Now = None) -> None:
    """Issue missions for every user whose day has begun. Running it twice changes nothing."""
    from services.adapters.ledger.sweep import SweepLedger
    from services.adapters.ledger.users import Users
    from services.adapters.settings import ServerSettings
    from services.operations.issue import Issuer, issue_all
    from services.operations.startup import load_catalogue, open_ledger, open_projection, partition_chooser

    settings, at = settings_of(ServerSettings), instant(now)

    async def work() -> int:
        async with open_ledger(settings, "issue", size=2) as pool, open_projection(settings) as projection:
            chooser = partition_chooser(settings)
            issuer = Issuer(Users(pool, chooser), projection, await load_catalogue(pool), settings.streak_source)
            with counter("users looked at") as told:
                return await issue_all(SweepLedger(pool, chooser), issuer, at, progress=told)

    Console().print(f"{run(work())} assignments issued as of {at:%Y-%m-%d %H:%M:%S} UTC")


def expire(now: Now = None) -> None:
    """End assignments whose time is over for good. Running it twice changes nothing."""
    from mission_events import TOPICS_IN
    from services.adapters.kafka.access import security_of
    from services.adapters.kafka.admin import end_offsets
    from services.adapters.ledger.sweep import SweepLedger
    from services.adapters.settings import ServerSettings
    from services.operations.expire import expire_overdue
    from services.operations.startup import load_catalogue, open_ledger, partition_chooser

    settings, at = settings_of(ServerSettings), instant(now)
    topics = [topic.with_prefix(settings.topic_prefix).name for topic in TOPICS_IN]

    async def work() -> int:
        async with open_ledger(settings, "expire", size=2) as pool:
            ledger = SweepLedger(pool, partition_chooser(settings))
            catalogue = await load_catalogue(pool)
            with counter("assignments ended") as told:
                ends = partial(end_offsets, settings.kafka_bootstrap, topics, security=security_of(settings))
                return await expire_overdue(ledger, catalogue, ends, at, progress=told)

    Console().print(f"{run(work())} assignments ended as of {at:%Y-%m-%d %H:%M:%S} UTC")


projection_app = typer.Typer(help="The projection in Redis.", no_args_is_help=True)


@projection_app.callback()
def _projection() -> None:
    """The projection in Redis."""


@projection_app.command()
def rebuild() -> None:
    """Fill Redis from the ledger. Harmless at any time: newer states are never overwritten."""
    from services.adapters.ledger.sweep import SweepLedger
    from services.adapters.settings import ServerSettings
    from services.operations.rebuild import rebuild_projection
    from services.operations.startup import open_ledger, open_projection, partition_chooser

    settings = settings_of(ServerSettings)

    async def work() -> int:
        async with open_ledger(settings, "rebuild", size=2) as pool, open_projection(settings) as projection:
            with counter("users written") as told:
                ledger = SweepLedger(pool, partition_chooser(settings))
                return await rebuild_projection(ledger, projection, progress=told)

    Console().print(f"{run(work())} users are in the projection")


def token(
    user: Annotated[str | None, typer.Option(help="A token of this user")] = None,
    service: Annotated[bool, typer.Option(help="A token of an upstream service")] = False,
    admin: Annotated[bool, typer.Option(help="A token of an operator")] = False,
    minutes: Annotated[int, typer.Option(min=1, max=24 * 60, help="How long it holds")] = 60,
) -> None:
    """Print a development token. Works only where MISSIONS_ENVIRONMENT=development."""
    from services.adapters.token_keys import TokenKeyError
    from services.adapters.tokens import TokenKind, TokenSettings, mint

    if sum((user is not None, service, admin)) != 1:
        stop("a token is for one kind of caller", "give exactly one of --user NAME, --service, --admin")
    kind = TokenKind.USER if user is not None else TokenKind.SERVICE if service else TokenKind.ADMIN
    try:
        typer.echo(mint(settings_of(TokenSettings), user, kind, timedelta(minutes=minutes)))
    except TokenKeyError as error:
        stop(error.problem, error.fix)
    except ValueError as error:
        stop(
            str(error),
            "in development: `source .local/stack.env` with `set -a`, or set MISSIONS_ENVIRONMENT=development",
        )


class _Told:
    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None, done=0)

    def __call__(self, done: int) -> None:
        self._progress.update(self._task, done=done)


@contextmanager
def counter(what: str) -> Iterator[_Told]:
    """Shows how far a long run has come."""
    columns = (SpinnerColumn(), TextColumn("{task.fields[done]:,} {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Told(progress, what)
