"""`missions topics apply | list`: the topics of the contract on a Kafka cluster."""

from dataclasses import dataclass, field

import typer
from rich.console import Console
from rich.table import Table

from mission_events import TOPICS_IN, TOPICS_OUT
from services.cli.run import run, settings_of, stop

app = typer.Typer(help="The topics of the contract.", no_args_is_help=True)


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


@app.command("list")
def list_topics() -> None:
    """Show the topics of the contract: what each is for, who writes and who reads it."""
    table = Table("topic", "for", "written by", "read by", "kept")
    for topic in (*TOPICS_IN, *TOPICS_OUT):
        kept = f"{topic.retention.days} days"
        table.add_row(topic.name, topic.description, ", ".join(topic.producers), ", ".join(topic.consumers), kept)
    Console().print(table)
