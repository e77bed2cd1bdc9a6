"""`missions stack up|down|status|clean|logs`: the whole system on this machine, in the background."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from services.cli.console import board, faults_as_lines
from services.stack.errors import StackError
from services.stack.paths import PROJECT, local_directory
from services.stack.ports import LOOPBACK, Ports
from services.stack.processes import log_tail
from services.stack.system import LocalStack

LOG_LINES = 40
SERVER_LOGS = ("kafka", "postgres", "redis")

app = typer.Typer(help="The whole system on this machine: servers and roles, in the background.", no_args_is_help=True)


def local_stack() -> LocalStack:
    """The stack of this checkout. Raises StackError for a port variable that is no port."""
    return LocalStack(local_directory(), Ports.from_environment())


@app.command()
def up() -> None:
    """Start servers and roles, or those of them that do not run, and wait until all are ready."""
    console = Console()
    with faults_as_lines():
        stack = local_stack()
        with board(console) as shown:
            stack.up(shown.tell)
        _show_ready(console, stack)


@app.command()
def down() -> None:
    """Stop roles and servers. Their data stays."""
    console = Console()
    with faults_as_lines(), board(console) as shown:
        local_stack().down(shown.tell)


@app.command()
def clean() -> None:
    """Stop everything and forget the data, the logs and the addresses."""
    console = Console()
    with faults_as_lines():
        with board(console) as shown:
            stack = local_stack()
            stack.down(shown.tell)
        stack.clean()
        console.print(f"✓ {stack.directory} holds no data any more", style="green")


@app.command()
def status() -> None:
    """Show what runs. Exit code 1 unless everything is up and ready."""
    with faults_as_lines():
        stack = local_stack()
        table = Table(box=None, pad_edge=False, title=f"provider: {stack.provider or '- (down)'}", title_justify="left")
        for heading in ("what", "runs as", "ready", "where"):
            table.add_column(heading, overflow="fold")
        all_ready = True
        for server in stack.servers().all:
            ready = server.is_ready()
            all_ready = all_ready and ready and stack.provider is not None
            table.add_row(server.title, server.identity or "-", _yes(ready), server.shown_address)
        for role in stack.roles.values():
            ready = role.pid is not None and role.is_ready()
            all_ready = all_ready and ready
            where = f"http://{LOOPBACK}:{role.http_port}" if role.http_port else role.ready_url
            table.add_row(role.name, f"pid {role.pid}" if role.pid else "-", _yes(ready), where)
        Console().print(table)
        if not all_ready:
            raise typer.Exit(1)


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="a role or server; all of them if left out")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="how many of each log's last lines")] = LOG_LINES,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on showing what is added")] = False,
) -> None:
    """Show the logs of roles and servers."""
    with faults_as_lines():
        paths = _log_paths(name)
        if follow:
            subprocess.run(["tail", "-n", str(lines), "-F", *map(str, paths)], check=False)  # noqa: S603, S607
            return
        for path in paths:
            if len(paths) > 1:
                sys.stdout.write(f"==> {path} <==\n")
            sys.stdout.write("".join(f"{line}\n" for line in log_tail(path, lines)))


def _log_paths(name: str | None) -> list[Path]:
    stack = local_stack()
    known = {log: stack.directory / "logs" / f"{log}.log" for log in (*stack.roles, *SERVER_LOGS)}
    if name is not None and name not in known:
        raise StackError(f"there is no log called {name!r}", f"one of: {', '.join(known)}")
    paths = [path for log, path in known.items() if name in (None, log) and path.exists()]
    if not paths:
        raise StackError("there are no logs yet" if name is None else f"{name} has no log yet", "make up")
    return paths


def _show_ready(console: Console, stack: LocalStack) -> None:
    """Where things are in a box, and below it commands that can be copied: a box would break their lines."""
    env_file = _short(stack.env_file)
    rows = {"API": stack.api_url}
    rows.update({server.title: server.shown_address for server in stack.servers().all})
    rows["Logs"] = f"{_short(stack.directory / 'logs')}/   (make logs)"
    rows["Stop"] = "make down   (the data stays; make clean forgets it)"
    table = Table.grid(padding=(0, 2))
    for label, value in rows.items():
        table.add_row(f"[bold]{label}[/]", value)
    console.print(Panel(table, title=f"Ready · {stack.provider}", border_style="green", expand=False))
    for comment, command in (
        ("addresses and settings in this shell", f"set -a; . {env_file}; set +a"),
        ("a token, then", ".venv/bin/missions token --user user-42"),
        (
            "a call",
            'curl -H "Authorization: Bearer $(.venv/bin/missions token --user user-42)" $MISSIONS_API_URL/missions',
        ),
    ):
        console.print(f"[dim]# {comment}[/]\n{command}", highlight=False, soft_wrap=True)


def _short(path: Path) -> str:
    return str(path.relative_to(PROJECT)) if path.is_relative_to(PROJECT) else str(path)


def _yes(ready: bool) -> str:
    return "[green]yes[/]" if ready else "[red]no[/]"
