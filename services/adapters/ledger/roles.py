"""Database roles, one a service, each with no more than `grants.yaml` gives it. The owner, who migrates, makes and grants them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

import asyncpg
import yaml

from .connection import connect
from .queries import queries

SERVICES = ("processor", "claims", "relay", "api", "scheduler", "operator")
LOCK_KEY = 7_316_402_002
"""Advisory lock: two who grant at once would change the same rows of Postgres' own tables."""

_PRIVILEGES = {"r": "select", "i": "insert", "u": "update", "d": "delete"}
_SQL = queries("roles")


@dataclass(frozen=True, slots=True)
class Grants:
    """What each service may do: privileges, as SQL writes them, by table and service; who may execute which function."""

    tables: Mapping[str, Mapping[str, str]]
    functions: Mapping[str, frozenset[str]]


class GrantsIncomplete(Exception):
    """A table or function of the ledger has no line in grants.yaml."""


def role_of(service: str) -> str:
    """The database role of a service."""
    return f"missions_{service}"


def read_grants() -> Grants:
    """The contents of grants.yaml. Raises ValueError for a service or a letter that does not exist."""
    read = yaml.safe_load(resources.files(__package__).joinpath("grants.yaml").read_text("utf-8"))
    tables = {
        table: {service: _privileges(table, service, words) for service, words in line.items()}
        for table, line in read["tables"].items()
    }
    return Grants(tables, {name: frozenset(line) for name, line in read["functions"].items()})


def _privileges(table: str, service: str, words: str) -> str:
    if service not in SERVICES:
        raise ValueError(f"grants.yaml: {table}: there is no service {service!r}")
    found = []
    for letter, columns in re.findall(r"(\w)(?:\(([\w ]+)\))?", words):
        if letter not in _PRIVILEGES:
            raise ValueError(f"grants.yaml: {table}: {service}: {letter!r} is none of {', '.join(_PRIVILEGES)}")
        found.append(_PRIVILEGES[letter] + (f" ({', '.join(columns.split())})" if columns else ""))
    return ", ".join(found)


async def apply_roles(dsn: str, *, login: bool = False, password: str | None = None) -> list[str]:
    """Makes the roles that are missing, grants each exactly what it needs, and returns the names of those that were made.

    `login` lets each sign in itself, with `password` if there is one; else they are groups for users that the operator makes.
    Raises `GrantsIncomplete`, `ServerRefuses` and the driver's errors.
    """
    connection = await connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute(queries("migrate")["lock_here"], LOCK_KEY)
            wanted = [role_of(service) for service in SERVICES]
            made = [role for role in wanted if role not in await _existing(connection)]
            for role in made:
                await _make(connection, role)
            for role in wanted if login else ():
                await connection.execute(await _login(connection, role, password))
            await grant(connection)
        return made
    finally:
        await connection.close()


async def grant(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Grants every role that exists exactly what grants.yaml says, inside the caller's transaction. Raises `GrantsIncomplete`."""
    roles = await _existing(connection)
    if roles:
        tables = {row[0] for row in await connection.fetch(_SQL["tables"])}
        functions = {row[0] for row in await connection.fetch(_SQL["functions"])}
        await connection.execute(";\n".join(statements(read_grants(), roles, tables, functions)))


def statements(grants: Grants, roles: set[str], tables: set[str], functions: set[str]) -> Iterator[str]:
    """The statements that grant, and take back what was granted before. Raises `GrantsIncomplete`."""
    if missing := sorted(tables - grants.tables.keys()) + sorted(
        name for name in functions if _short(name) not in grants.functions
    ):
        raise GrantsIncomplete(f"{', '.join(missing)}: give each a line in services/adapters/ledger/grants.yaml")
    for service in SERVICES:
        role = role_of(service)
        if role not in roles:
            continue
        yield _SQL["open_schema"].format(role=role)
        for table in sorted(tables):
            yield _SQL["revoke_table"].format(name=table, role=role)
            if privileges := grants.tables[table].get(service):
                yield _SQL["grant_table"].format(name=table, role=role, privileges=privileges)
        for function in sorted(functions):
            name = _short(function)
            yield _SQL["revoke_function"].format(name=name, role=role)
            if service in grants.functions[name]:
                yield _SQL["grant_function"].format(name=name, role=role)


def _short(function: str) -> str:
    """`name(type, type)` of `name(argument type, argument type)`."""
    name, _, arguments = function.removesuffix(")").partition("(")
    return f"{name}({', '.join(each.split()[-1] for each in arguments.split(',') if each.strip())})"


async def _existing(connection: "asyncpg.Connection[asyncpg.Record]") -> set[str]:
    return {row[0] for row in await connection.fetch(_SQL["existing_roles"], [role_of(each) for each in SERVICES])}


async def _make(connection: "asyncpg.Connection[asyncpg.Record]", role: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(_SQL["create_role"].format(role=role))
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        return  # roles belong to the whole server: another database's owner was faster


async def _login(connection: "asyncpg.Connection[asyncpg.Record]", role: str, password: str | None) -> str:
    if password is None:
        return _SQL["allow_login"].format(role=role)
    return str(await connection.fetchval(_SQL["allow_login_with_password"], role, password))
