"""`missions config show`: every setting with its value and where that comes from; and a warning for names that nobody reads."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.adapters.addresses import redact
from services.adapters.secret_files import SUFFIX, SecretFiles, Unreadable, is_secret

app = typer.Typer(help="The settings of a process.", no_args_is_help=True)

PREFIX = "MISSIONS_"

OTHERS = (
    r"PORT_\w+", r"IMAGE(_\w+)?", r"LIFE_\w+", r"FAUST_\w+", "STACK_PROVIDER", "LOCAL_DIR", "KAFKA_JARS", "KAFKA_JVM_OPTIONS",
    "API_URL", "CRASH_AT", "DATABASE_ROLE_PASSWORD(_FILE)?",
)  # fmt: skip
"""Variables of the local stack and of tests, which are no role's settings."""

OF_KUBERNETES = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
"""What Kubernetes sets in every container for a service called missions-something; never a mistake of ours."""

NEAR = 0.75
"""How alike two names must be for one to be offered in place of the other."""


@dataclass(frozen=True)
class Shown:
    """One setting as it may be shown to anybody."""

    variable: str
    value: str
    source: str
    description: str


def kinds() -> dict[str, type[BaseSettings]]:
    """The settings of each role."""
    from services.api.settings import ApiSettings
    from services.claims.settings import ClaimsSettings
    from services.processor.settings import ProcessorSettings
    from services.relay.settings import RelaySettings
    from services.scheduler.settings import SchedulerSettings

    return {
        "processor": ProcessorSettings,
        "claims": ClaimsSettings,
        "relay": RelaySettings,
        "api": ApiSettings,
        "scheduler": SchedulerSettings,
    }


@app.callback()
def _config() -> None:
    """The settings of a process."""


@app.command()
def show(
    role: Annotated[str | None, typer.Argument(help="Only this role's settings; default: those of all roles")] = None,
) -> None:
    """Show every setting, its value (secrets as ***) and where it comes from. Exit code 1 when a process could not start."""
    from services.cli.run import faults_of, stop

    known = kinds()
    if role is not None and role not in known:
        stop(f"there is no role {role!r}", f"give one of {', '.join(known)}, or none")
    chosen = [known[role]] if role else list(known.values())
    table = Table("setting", "value", "from", "what it is", box=None, pad_edge=False)
    shown = {line.variable: line for kind in chosen for line in describe(kind)}
    for line in shown.values():
        table.add_row(line.variable, escape(line.value), escape(line.source), escape(line.description))
    Console().print(table)
    warn_of_unknown()
    faults = {}
    for kind in chosen:
        try:
            kind()
        except ValidationError as error:
            faults.update(dict.fromkeys(faults_of(error)))
    if faults:
        stop("; ".join(faults), "set what is missing, mend what is wrong")


def describe(kind: type[BaseSettings]) -> list[Shown]:
    """Every setting of a role as the environment has it now, whether it is valid or not."""
    from_files = SecretFiles(kind)()
    lines = []
    for name, field in kind.model_fields.items():
        variable = PREFIX + name.upper()
        if name in from_files:
            lines.append(
                Shown(variable, _hidden(from_files[name]), f"file {os.environ[variable + SUFFIX]}", _about(field))
            )
        elif variable in os.environ:
            value = _hidden(os.environ[variable]) if is_secret(field) else os.environ[variable]
            lines.append(Shown(variable, value, "environment", _about(field)))
        elif field.is_required():
            lines.append(Shown(variable, "", "not set", _about(field)))
        else:
            default = field.get_default(call_default_factory=True)
            lines.append(Shown(variable, "" if default is None else str(default), "default", _about(field)))
    return lines


def _hidden(secret: object) -> str:
    if isinstance(secret, Unreadable):
        return "?"
    text = secret.get_secret_value() if isinstance(secret, SecretStr) else str(secret)
    return redact(text) if "://" in text else "***"


def _about(field: FieldInfo) -> str:
    return field.description or ""


def unknown_variables(environment: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """`MISSIONS_` variables that nothing reads, each with the known name that it resembles most, if any does."""
    known = sorted(_known())
    pattern = re.compile("|".join(OTHERS))
    found = []
    for name in sorted(environment):
        rest = name.removeprefix(PREFIX)
        if name == rest or rest in known or pattern.fullmatch(rest) or OF_KUBERNETES.fullmatch(rest):
            continue
        near = difflib.get_close_matches(rest, known, 1, NEAR)
        found.append((name, PREFIX + near[0] if near else None))
    return found


def _known() -> Iterable[str]:
    for kind in kinds().values():
        for name, field in kind.model_fields.items():
            yield name.upper()
            if is_secret(field):
                yield name.upper() + SUFFIX


def warn_of_unknown() -> None:
    """Prints a line for each variable that nothing reads. No error: other programs may share the prefix."""
    for name, near in unknown_variables(os.environ):
        hint = f": did you mean {near}?" if near else ""
        line = f"[yellow]![/] {escape(name)} is set, and no setting has that name{escape(hint)}"
        Console(stderr=True).print(line, highlight=False, soft_wrap=True)
