"""`missions database roles apply | show`: what each service may do in the ledger."""

from typing import Annotated

import typer
from pydantic import Field, SecretStr
from rich.console import Console
from rich.table import Table

from services.adapters.settings import SecretSettings
from services.cli.run import run, settings_of

app = typer.Typer(help="The ledger's database.", no_args_is_help=True)
roles = typer.Typer(help="Database roles, one a service, with no more than it needs.", no_args_is_help=True)
app.add_typer(roles, name="roles")


class RolePassword(SecretSettings):
    """From `MISSIONS_*` variables."""

    database_role_password: SecretStr | None = Field(
        default=None, description="What the roles sign in with, for `missions database roles apply --login`"
    )


@app.callback()
def _database() -> None:
    """The ledger's database."""


@roles.command()
def apply(
    login: Annotated[
        bool,
        typer.Option(
            "--login",
            help="The roles may sign in themselves, with MISSIONS_DATABASE_ROLE_PASSWORD if it is set; "
            "else they are groups: create user … in role missions_claims",
        ),
    ] = False,
) -> None:
    """Make the roles missions_<service> that are missing and grant each exactly what it needs. Run it as the ledger's owner.

    Running it twice changes nothing. `missions migrate` grants what new tables need.
    """
    from services.adapters.ledger.roles import SERVICES, apply_roles
    from services.adapters.settings import ServerSettings

    settings, secret = settings_of(ServerSettings), settings_of(RolePassword).database_role_password
    password = secret.get_secret_value() if secret else None
    made = run(apply_roles(settings.postgres_dsn.get_secret_value(), login=login, password=password))
    Console().print(f"{len(made)} roles made, {len(SERVICES)} have what they need", highlight=False)


@roles.command()
def show() -> None:
    """Show what each service may do with each table."""
    from services.adapters.ledger.roles import SERVICES, read_grants

    table = Table("table", *SERVICES)
    for name, line in read_grants().tables.items():
        table.add_row(name, *(line.get(service, "") for service in SERVICES))
    Console().print(table)
