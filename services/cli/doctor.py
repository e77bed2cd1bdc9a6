"""`missions doctor`: checks everything at once and names, beside each fault, what mends it."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.adapters.addresses import redact
from services.adapters.refusals import ServerRefuses
from services.cli import checks
from services.cli.checks import Finding, Verdict
from services.stack import external
from services.stack.errors import StackError
from services.stack.paths import local_directory
from services.stack.ports import Ports
from services.stack.server import Addresses, Servers
from services.stack.system import LocalStack

MARKS = {Verdict.GOOD: "[green]✓[/]", Verdict.NOTE: "[cyan]•[/]", Verdict.BAD: "[red]✗[/]"}
FALLBACK_FIX = "this check itself failed; the other lines may say why"


def doctor() -> None:
    """Check this machine, the servers and the roles; exit code 1 if anything fails."""
    console = Console()
    with console.status("looking…"):
        findings = list(examine())
    console.print(_table(findings))
    bad = sum(finding.verdict is Verdict.BAD for finding in findings)
    if bad:
        console.print(f"[red]✗ {bad} of {len(findings)} checks failed[/]: the right column says what mends each")
        raise typer.Exit(1)
    console.print(f"[green]✓ all {len(findings)} checks passed[/]")


def examine() -> Iterator[Finding]:
    """Every check's finding; a check that breaks is a finding too."""
    yield from _safely("Python", checks.python_version)
    if checks.is_checkout():
        for name, check in (
            ("Packages", checks.packages),
            ("Kafka's jars", checks.maven),
            ("Java", checks.java),
            ("Docker", checks.docker_engine),
            ("Disk", checks.disk),
        ):
            yield from _safely(name, check)
    try:
        stack = LocalStack(local_directory(), Ports.from_environment())
        servers = _servers(stack)
    except (StackError, OSError) as error:
        yield Finding("Stack", Verdict.BAD, *_explained(error))
        return
    if checks.is_checkout():
        yield from _safely("Ports", partial(checks.ports, stack))
    if servers is None:
        fix = "make up" if checks.is_checkout() else f"set {', '.join(Addresses('', '', '').environment())}"
        yield Finding("Stack", Verdict.BAD, "is down: servers, topics, schema and roles were not checked", fix)
        return
    for each in servers.all:
        yield from _safely(each.title, partial(checks.server, each))
    yield from _safely("Settings", partial(checks.settings, servers))
    yield from _safely("Kafka sign-in", partial(checks.kafka_access, servers))
    yield from _safely("Postgres sign-in", partial(checks.postgres_access, servers))
    yield from _safely("Redis sign-in", partial(checks.redis_access, servers))
    yield from _safely("Topics", partial(checks.topics, servers))
    yield from _safely("Schema", partial(checks.schema, servers))
    yield from _safely("Partitions", partial(checks.partitions, servers))
    if checks.is_checkout():
        yield from _safely("Roles", partial(checks.roles, stack))


def _servers(stack: LocalStack) -> Servers | None:
    """Those of the stack that is up; else those that the environment names; None if it names none."""
    if stack.provider is not None:
        return stack.servers()
    given = Addresses.from_environment(os.environ)
    own = stack.servers().addresses
    return external.servers(given) if any(given.environment().values()) and given != own else None


def _safely(name: str, check: Callable[[], Finding | Iterable[Finding]]) -> Iterator[Finding]:
    try:
        found = check()
        yield from [found] if isinstance(found, Finding) else found
    except Exception as error:  # noqa: BLE001 - whatever is broken, the other checks are still wanted
        yield Finding(name, Verdict.BAD, *_explained(error))


def _explained(error: Exception) -> tuple[str, str]:
    if isinstance(error, StackError | ServerRefuses):
        return error.problem, error.fix
    return f"{type(error).__name__}: {error}", FALLBACK_FIX


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "what", "found", "fix"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        fix = escape(finding.fix) if finding.verdict is Verdict.BAD else ""
        table.add_row(
            MARKS[finding.verdict], finding.what, escape(redact(finding.detail)), f"[yellow]{fix}[/]" if fix else ""
        )
    return table
