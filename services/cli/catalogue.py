"""`missions catalogue check | apply | show`: mission definitions, from files to the ledger."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.cli.run import run, settings_of, stop

app = typer.Typer(help="Mission definitions: check them, publish them, list what is published.", no_args_is_help=True)

EXIT_PROBLEMS = 1
EXIT_UNREADABLE = 2


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A YAML file, or a folder of them")]) -> None:
    """Explain every mistake in FILE, with its place and a suggestion. Exit code 1 when there is one, 2 when FILE can't be read."""
    from services.adapters.catalogue_files import CatalogueFileError, read_catalogue

    console = Console()
    try:
        missions, problems = read_catalogue(file)
    except CatalogueFileError as error:
        Console(stderr=True).print(f"[red]✗[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_UNREADABLE) from error
    for problem in problems:
        console.print(f"[red]✗[/] {escape(str(problem))}", highlight=False, soft_wrap=True)
    if problems:
        console.print(f"{len(problems)} to mend; {len(missions)} missions are right as they are", style="red")
        raise typer.Exit(EXIT_PROBLEMS)
    console.print(f"[green]✓[/] {len(missions)} missions, nothing to mend")


@app.command()
def apply(
    file: Annotated[
        Path | None, typer.Argument(help="A YAML file or folder; without it, the default catalogue")
    ] = None,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Only when nothing was ever published")] = False,
) -> None:
    """Publish missions to the ledger. One that differs from its newest version becomes a new version; the others stay."""
    from services.adapters.catalogue_files import CatalogueFileError, default_catalogue, read_catalogue
    from services.adapters.ledger.catalogue import CatalogueStore, Published
    from services.adapters.settings import ServerSettings
    from services.operations.startup import open_ledger

    try:
        missions, problems = read_catalogue(file) if file else (default_catalogue(), [])
    except CatalogueFileError as error:
        stop(str(error), "name a readable YAML file")
    if problems:
        stop(f"{file} has {len(problems)} mistakes, the first: {problems[0]}", f"missions catalogue check {file}")
    settings = settings_of(ServerSettings)

    async def publish() -> Published | None:
        async with open_ledger(settings, "catalogue", size=1) as pool:
            store = CatalogueStore(pool)
            return None if if_empty and await store.revision() > 0 else await store.publish(missions)

    published = run(publish())
    if published is None:
        Console().print("missions are published already; nothing was changed")
        return
    for mission_id, version in published.new_versions.items():
        Console().print(f"published {mission_id} version {version}", highlight=False)
    Console().print(
        f"{len(published.new_versions)} published, {len(published.unchanged)} unchanged, revision {published.revision}"
    )


@app.command()
def show() -> None:
    """List the newest version of every published mission."""
    from services.adapters.ledger.catalogue import CatalogueStore
    from services.adapters.settings import ServerSettings
    from services.missions.definition import Mission
    from services.operations.startup import open_ledger

    settings = settings_of(ServerSettings)

    async def load() -> list[Mission]:
        async with open_ledger(settings, "catalogue", size=1) as pool:
            missions, _ = await CatalogueStore(pool).load()
            return missions

    newest = {mission.id: mission for mission in run(load())}
    table = Table("mission", "version", "type", "period", "title", "rewards")
    for mission in newest.values():
        rewards = ", ".join(f"{reward.amount} {reward.kind}" for reward in mission.rewards)
        title = next(iter(mission.title.values()), "")
        table.add_row(mission.id, str(mission.version), mission.type, mission.period, title, rewards)
    Console().print(table)
