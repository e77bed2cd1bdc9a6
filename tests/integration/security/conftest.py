"""Secured servers with the whole system on them, started once for these tests."""

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest

from services.adapters.kafka.access import security_of
from services.adapters.kafka.acls import grant, needed
from services.adapters.kafka.admin import ensure_topics
from services.adapters.ledger.migrate import migrate
from services.cli.topics import KAFKA_ROLES, wanted_topics
from services.stack.system import LocalStack
from tests.support.secured.servers import OWNER, Secured, secured_servers, settings
from tests.support.stack import stopped_if_we_are_killed, temporary_directory
from tests.support.system import running_stack


@pytest.fixture(scope="session")
def secured() -> Iterator[Secured]:
    """Kafka, Postgres and Redis with TLS and passwords; topics, permissions and schema are there."""
    if shutil.which("mvn") is None:
        pytest.skip("Maven fetches the servers that speak TLS")
    with temporary_directory() as directory:
        made = secured_servers(directory)
        with stopped_if_we_are_killed(directory), made.servers:
            asyncio.run(_prepare(made))
            yield made


async def _prepare(secured: Secured) -> None:
    at = settings(secured.environment(OWNER), secured.authority.directory)
    security = security_of(at)
    await ensure_topics(at.kafka_bootstrap, wanted_topics("", at.output_partitions), security=security)
    granted = [(f"User:missions-{role}", acl) for role in KAFKA_ROLES for acl in needed(role, "", "missions-processor")]
    await grant(at.kafka_bootstrap, security, granted)
    await migrate(at.postgres_dsn.get_secret_value(), datetime.now(UTC).date())


@pytest.fixture
def owner(secured: Secured) -> Mapping[str, str]:
    """The environment of somebody who may do everything."""
    return secured.environment(OWNER)


@pytest.fixture(scope="session")
def secured_stack(secured: Secured) -> Iterator[LocalStack]:
    """The five roles, each as a Kafka user of its own that may do no more than it needs."""
    roles = ("processor", "relay", "api", "scheduler")
    # The claims role has no Kafka user at all: it talks to no broker.
    users = {**{role: f"missions-{role}" for role in roles}, "claims": "nobody"}
    role_environment = {role: {"MISSIONS_KAFKA_SASL_USERNAME": user} for role, user in users.items()}
    with running_stack(secured.servers, secured.environment(OWNER), role_environment) as stack:
        yield stack
