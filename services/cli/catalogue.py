"""`missions catalogue check | apply | show | reference`: mission definitions, from files to the ledger, and what they may say."""

import getpass
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
    """Explain every mistake in FILE, with its place and a suggestion. Exit code 1 when there is one, 2 when FILE can't be read.

    The files of a folder are one catalogue: a mission may require one of another file.
    """
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
    from services.adapters.catalogue_files import CatalogueFileError, default_missions, read_catalogue
    from services.adapters.ledger.catalogue import Author, CatalogueStore, Published
    from services.adapters.settings import ServerSettings
    from services.operations.startup import open_ledger

    try:
        missions, problems = read_catalogue(file) if file else (default_missions(), [])
    except CatalogueFileError as error:
        stop(str(error), "name a readable YAML file")
    if problems:
        stop(f"{file} has {len(problems)} mistakes, the first: {problems[0]}", f"missions catalogue check {file}")
    settings = settings_of(ServerSettings)

    async def publish() -> Published | None:
        async with open_ledger(settings, "catalogue", size=1) as pool:
            store = CatalogueStore(pool)
            if if_empty and await store.revision() > 0:
                return None
            return await store.publish(missions, Author(f"catalogue-apply:{_user()}", str(file) if file else None))

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
    """List every mission with its state: its newest version, or its draft."""
    from services.adapters.ledger.catalogue import CatalogueStore, Listed
    from services.adapters.settings import ServerSettings
    from services.operations.startup import open_ledger

    settings = settings_of(ServerSettings)

    async def load() -> list[Listed]:
        async with open_ledger(settings, "catalogue", size=1) as pool:
            return await CatalogueStore(pool).missions(None, None, None, None)

    table = Table("mission", "version", "state", "type", "period", "title", "rewards")
    for mission in run(load()):
        told = mission.definition
        rewards = ", ".join(f"{reward['amount']} {reward['kind']}" for reward in told["rewards"])
        title = next(iter(told["title"].values()), "")
        state = f"{mission.state} + draft" if mission.has_draft and mission.version else str(mission.state)
        table.add_row(
            mission.mission_id, str(mission.version or ""), state, told["type"], told["period"], title, rewards
        )
    Console().print(table)


@app.command()
def reference(
    folder: Annotated[Path, typer.Argument(help="Where the pages go")] = Path("docs/reference"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 when a page is not as made")
    ] = False,
) -> None:
    """Write the reference pages of everything that a definition may say, made from the models."""
    from services.cli.reference import IncompleteReference, pages

    try:
        made = pages()
    except IncompleteReference as error:
        stop(str(error), "give each word a line and an example")
    old = [name for name, text in made.items() if not _holds(folder / name, text)]
    if check and old:
        stop(f"{', '.join(old)} in {folder} is not what the models say", "missions catalogue reference")
    for name in old:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(made[name], "utf-8")
    Console().print(f"{len(made)} pages in {folder}, {len(old)} of them written", highlight=False)


def _holds(file: Path, text: str) -> bool:
    return file.exists() and file.read_text("utf-8") == text


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
