"""Runs the asynchronous side of a command; what a person can mend is shown as a line with its fix."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import uvloop
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from rich.console import Console
from rich.markup import escape

from services.adapters.addresses import redact

Result = TypeVar("Result")
Settings = TypeVar("Settings", bound=BaseSettings)

EXIT_CANNOT_START = 1


def settings_of(kind: type[Settings]) -> Settings:
    """The settings from the environment; all faults at once, then exit code 1."""
    from services.cli.config import warn_of_unknown

    warn_of_unknown()
    try:
        return kind()
    except ValidationError as error:
        faults = "; ".join(faults_of(error))
        stop(
            f"the settings are not complete: {faults}",
            "mend each of them; for the local stack `make up` writes .local/stack.env: source it. `missions config show` shows all",
        )


def faults_of(error: ValidationError) -> list[str]:
    """What is wrong with each setting, without the values: one of them may be a secret."""
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        name = "MISSIONS_" + "_".join(str(part) for part in fault["loc"]).upper()
        lines.append(f"{name} {'is not set' if fault['type'] == 'missing' else fault['msg']}")
    return lines


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs `work` on uvloop. A fault with a known fix becomes a line and exit code 1."""
    from services.adapters.http_server import PortError
    from services.adapters.kafka.errors import BrokerUnreachable, KafkaProblem, TopicsMissing
    from services.adapters.ledger.migrate import MigrationError
    from services.adapters.projection import ProjectionUnavailable
    from services.adapters.refusals import ServerRefuses
    from services.operations.startup import StartError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except (StartError, ServerRefuses) as error:
        stop(error.problem, error.fix)
    except TopicsMissing as error:
        stop(str(error), "missions topics apply")
    except BrokerUnreachable as error:
        stop(str(error), "start Kafka (`make up`), or correct MISSIONS_KAFKA_BOOTSTRAP")
    except KafkaProblem as error:
        stop(str(error), "`missions doctor` says how Kafka is; mend what the message names")
    except ProjectionUnavailable as error:
        stop(str(error), "start Redis (`make up`), or correct MISSIONS_REDIS_URL")
    except MigrationError as error:
        stop(str(error), "run the version of `missions` that fits this database")
    except PortError as error:
        stop(str(error), "free the port, or choose another one")
    except OSError as error:
        stop(f"a server does not answer: {error}", "`missions doctor` says which; `make up` starts them")


def stop(problem: str, fix: str) -> NoReturn:
    """Prints a problem and its fix on standard error and exits with code 1."""
    console = Console(stderr=True)
    console.print(f"[red]✗[/] {escape(redact(problem))}", highlight=False, soft_wrap=True)
    console.print(f"  [yellow]fix:[/] {escape(fix)}", highlight=False, soft_wrap=True)
    sys.exit(EXIT_CANNOT_START)
