"""The `missions` command: every role, and every tool for those who run and feed them."""

import typer

from services.cli import catalogue, config, database, dead_letters, operations, partitions, roles, topics, users
from services.cli.demo import demo
from services.cli.doctor import doctor
from services.cli.stack import app as stack_app
from services.cli.validate import validate

app = typer.Typer(
    help="The mission system: learning events in, missions completed, rewards granted once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ROLES = "Roles (one process each)"
OPERATIONS = "Operating"
AUTHORS = "For those who publish events and define missions"

for name, run in roles.COMMANDS.items():
    app.command(name, rich_help_panel=ROLES)(run)

app.command(rich_help_panel=OPERATIONS)(doctor)
app.add_typer(config.app, name="config", rich_help_panel=OPERATIONS)
app.command(rich_help_panel=OPERATIONS)(operations.migrate)
app.add_typer(database.app, name="database", rich_help_panel=OPERATIONS)
app.add_typer(topics.app, name="topics", rich_help_panel=OPERATIONS)
app.command(rich_help_panel=OPERATIONS)(operations.issue)
app.command(rich_help_panel=OPERATIONS)(operations.expire)
app.add_typer(operations.projection_app, name="projection", rich_help_panel=OPERATIONS)
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel=OPERATIONS)
app.add_typer(partitions.app, name="partitions", rich_help_panel=OPERATIONS)
app.add_typer(users.app, name="user", rich_help_panel=OPERATIONS)
app.add_typer(stack_app, name="stack", rich_help_panel=OPERATIONS)
app.command(rich_help_panel=OPERATIONS)(operations.token)
app.command(rich_help_panel=OPERATIONS)(demo)

app.command(rich_help_panel=AUTHORS)(validate)
app.add_typer(catalogue.app, name="catalogue", rich_help_panel=AUTHORS)

if __name__ == "__main__":
    app()
