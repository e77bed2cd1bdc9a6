"""`missions topics apply | acls | list`: the topics of the contract on a Kafka cluster."""

from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mission_events import TOPICS_IN, TOPICS_OUT
from services.cli.run import run, settings_of, stop

app = typer.Typer(help="The topics of the contract.", no_args_is_help=True)


KAFKA_ROLES = ("processor", "relay", "api", "scheduler", "operator")
"""Who talks to Kafka; the claims role does not."""


@dataclass(frozen=True)
class Wanted:
    """A topic as it should be."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


def wanted_topics(prefix: str, output_partitions: int) -> list[Wanted]:
    """Every topic of the contract, under a deployment's prefix."""
    return [
        *(Wanted(prefix + t.name, t.partitions, t.config()) for t in TOPICS_IN),
        *(Wanted(prefix + t.name, output_partitions, t.config()) for t in TOPICS_OUT),
    ]


@app.command()
def apply() -> None:
    """Create the topics that are missing. Nothing is ever deleted; a topic with another number of partitions is reported."""
    from services.adapters.kafka.access import security_of
    from services.adapters.kafka.admin import ensure_topics
    from services.adapters.settings import ServerSettings

    settings = settings_of(ServerSettings)
    wanted = wanted_topics(settings.topic_prefix, settings.output_partitions)
    report = run(ensure_topics(settings.kafka_bootstrap, wanted, security=security_of(settings)))
    Console().print(f"{len(report.created)} topics created, {len(report.existing)} were there")
    outputs = {settings.topic_prefix + topic.name for topic in TOPICS_OUT}
    for mismatch in report.mismatched:
        if mismatch.topic in outputs:
            stop(
                f"{mismatch.topic} has {mismatch.found} partitions, the relay expects {mismatch.wanted}",
                f"set MISSIONS_OUTPUT_PARTITIONS={mismatch.found} for every role",
            )
        Console().print(f"{mismatch.topic} has {mismatch.found} partitions: any number is fine for a topic in")


@app.command()
def acls(
    user_prefix: Annotated[
        str, typer.Option(help="Kafka's users are this and the role's name; of mutual TLS the beginning of `CN=…`")
    ] = "missions-",
    grant: Annotated[bool, typer.Option("--grant", help="Grant them now; else they are only shown")] = False,
) -> None:
    """Show the permissions that each role needs of Kafka, as kafka-acls.sh takes them, or grant them."""
    from services.adapters.kafka.access import security_of
    from services.adapters.kafka.acls import grant as grant_all
    from services.adapters.kafka.acls import needed
    from services.processor.settings import ProcessorSettings

    settings = settings_of(ProcessorSettings)
    wanted = [
        (f"User:{user_prefix}{role}", acl)
        for role in KAFKA_ROLES
        for acl in needed(role, settings.topic_prefix, settings.consumer_group)
    ]
    if grant:
        run(grant_all(settings.kafka_bootstrap, security_of(settings), wanted))
        Console().print(f"{len(wanted)} permissions are granted")
        return
    for principal, acl in wanted:
        typer.echo(f"kafka-acls.sh --bootstrap-server {settings.kafka_bootstrap} {acl.command(principal)}")


@app.command("list")
def list_topics() -> None:
    """Show the topics of the contract: what each is for, who writes and who reads it."""
    table = Table("topic", "for", "written by", "read by", "kept")
    for topic in (*TOPICS_IN, *TOPICS_OUT):
        kept = f"{topic.retention.days} days"
        table.add_row(topic.name, topic.description, ", ".join(topic.producers), ", ".join(topic.consumers), kept)
    Console().print(table)
