"""How the stack's commands look: a board of what is starting, and faults as a line with its fix."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from services.stack.errors import StackError

GOOD = ("ready", "stopped", "did not run")


class Board:
    """One line for each thing, with a spinner while it works; plain lines when the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, str] = {}
        self._spinners: dict[str, Spinner] = {}
        self._lock = Lock()  # servers report from threads of their own

    def tell(self, what: str, state: str) -> None:
        """What has happened now."""
        with self._lock:
            changed = self._states.get(what) != state
            self._states[what] = state
        if changed and not self._console.is_terminal:
            self._console.print(f"{what}: {state}", markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> Table:
        """The board as it stands."""
        table = Table.grid(padding=(0, 2))
        with self._lock:
            for what, state in self._states.items():
                table.add_row(self._mark(what, state), what, Text(state, style="dim"))
        return table

    def _mark(self, what: str, state: str) -> Text | Spinner:
        if state.startswith(GOOD):
            return Text("✓", style="green")
        if state == "failed":
            return Text("✗", style="red")
        if what == "Provider":
            return Text("•", style="cyan")
        return self._spinners.setdefault(what, Spinner("dots", style="cyan"))


@contextmanager
def board(console: Console) -> Iterator[Board]:
    """Shows a board while the block runs."""
    shown = Board(console)
    if not console.is_terminal:
        yield shown
        return
    with Live(shown, console=console, refresh_per_second=12):
        yield shown


@contextmanager
def faults_as_lines() -> Iterator[None]:
    """Prints a StackError as a line and its fix on standard error, and ends with exit code 1."""
    try:
        yield
    except StackError as error:
        show_fault(error)
        sys.exit(1)
    except KeyboardInterrupt:
        Console(stderr=True).print("✗ interrupted; what had been started was stopped again", style="red")
        sys.exit(130)


def show_fault(error: StackError) -> None:
    """The lines that help, and last, in one line, what is wrong and what to do."""
    console = Console(stderr=True)
    for line in error.details:
        console.print(f"  │ {escape(line)}", style="dim", highlight=False, soft_wrap=True)
    line = f"[red]✗[/] {escape(error.problem)} — [yellow]fix:[/] {escape(error.fix)}"
    console.print(line, highlight=False, soft_wrap=True)
