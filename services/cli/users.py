"""`missions user state | export | erase`: what the system knows of one user as JSON, and its erasure for good."""

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from services.cli.dead_letters import Who, Why, operator
from services.cli.run import run, settings_of, stop

if TYPE_CHECKING:
    from services.adapters.ledger.erasure import Erasure
    from services.adapters.projection import Projection
    from services.operations.erase_user import Erased

app = typer.Typer(help="One user's data: read it all out, or erase it for good (GDPR).", no_args_is_help=True)

Result = TypeVar("Result")
User = Annotated[str, typer.Argument(help="The user's id")]


@app.command()
def state(user: User) -> None:
    """Show what the ledger keeps of a user between two events: profile, periods, open missions with their progress.

    Its fields are those of `UserState` in services/missions/state.py; an assignment and its parts are lists, in the order of their fields.
    """
    user_id = _user_id(user)

    async def work(erasure: "Erasure", _projection: "Projection") -> str | None:
        async with erasure.export(user_id) as one:
            return await one.state()

    found = _run(work)
    if found is None:
        stop(f"the ledger does not know {user_id}", "look at the id; a user is known from the first event or call on")
    typer.echo(json.dumps(json.loads(found), indent=2, ensure_ascii=False))


@app.command()
def export(
    user: User,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A new file, which only you may read; default: standard output"),
    ] = None,
) -> None:
    """Write everything that the ledger holds about a user as one JSON document."""
    from services.operations.erase_user import export_user

    user_id, now = _user_id(user), datetime.now(UTC)

    async def work(erasure: "Erasure", _projection: "Projection") -> int:
        if output is None:
            return await export_user(erasure, user_id, now, sys.stdout.write)
        try:
            output.touch(mode=0o600, exist_ok=False)
        except OSError as error:
            stop(f"{output} can't be made: {error.strerror}", "name a new file in a folder that you may write to")
        with output.open("w", encoding="utf-8") as file:
            return await export_user(erasure, user_id, now, file.write)

    rows = _run(work)
    if output is not None:
        typer.echo(f"{rows} rows about {user_id} are in {output}")


@app.command()
def erase(
    user: User,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    why: Why = None,
    who: Who = None,
) -> None:
    """Erase everything about a user from ledger and projection, for good.

    Events of this user that come later, again or for the first time, count nowhere: somebody who comes back needs a new id. What
    Kafka and backups still hold leaves with their retention (docs/privacy.md). Repeating it is safe.
    """
    from services.adapters.ledger.actions import By
    from services.operations.erase_user import OthersStillRun, erase_user

    user_id, now, console = _user_id(user), datetime.now(UTC), Console(stderr=True)

    async def work(erasure: "Erasure", projection: "Projection") -> "Erased | None":
        with console.status("counting"):
            counts = {name: rows for name, rows in (await erasure.count(user_id)).items() if rows}
            before = await erasure.erased_at(user_id)
        listed = ", ".join(f"{rows:,} {name.replace('_', ' ')}" for name, rows in counts.items()) or "no rows"
        known = f"erased on {before:%Y-%m-%d}; now " if before else ""
        typer.echo(f"{user_id}: {known}{listed}")
        if dry_run or not (yes or typer.confirm("Erase this user for good?", abort=True)):
            return None
        with console.status("erasing") as status:
            return await erase_user(erasure, projection, user_id, now, By(who or operator(), why), status.update)

    try:
        done = _run(work)
    except OthersStillRun as error:
        stop(
            f"{error}; nothing was deleted yet, and nothing is added any more",
            "end it (pg_stat_activity), and repeat this command",
        )
    if done is None:
        typer.echo("nothing was erased")
        return
    typer.echo(f"erased: {sum(done.deleted.values()):,} rows deleted; events of this user count nowhere from now on")
    if done.unpublished:
        typer.echo(f"{done.unpublished} messages about the user leave the outbox when the relay has published them")


def _user_id(text: str) -> str:
    from services.adapters.tokens import SUBJECT_PATTERN

    if not SUBJECT_PATTERN.fullmatch(text):
        stop(f"{text!r} is no user id", "it has 1 to 128 of the characters A-Z a-z 0-9 _ . : -")
    return text


def _run(work: "Callable[[Erasure, Projection], Awaitable[Result]]") -> Result:
    from services.adapters.ledger.erasure import Erasure
    from services.adapters.settings import ServerSettings
    from services.operations.startup import open_ledger, open_projection, partition_chooser

    settings = settings_of(ServerSettings)

    async def with_servers() -> Result:
        async with open_ledger(settings, "users", size=1) as pool, open_projection(settings) as projection:
            return await work(Erasure(pool, partition_chooser(settings)), projection)

    return run(with_servers())
