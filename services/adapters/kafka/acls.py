"""What each role needs of Kafka's access control: one table, from which permissions are shown, granted and documented."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import CreateAclsRequest

from mission_events import TOPICS_IN, TOPICS_OUT, topic_of
from services.missions.fields import STREAK_UPDATED

from .access import Security, endpoints, why_unreachable
from .errors import KafkaProblem

ALLOW: Final = 3
ANYWHERE: Final = "*"
RELAY_IDS: Final = "missions-relay-"
"""What the relay's transactional ids begin with, after the prefix."""


class Kind(IntEnum):
    """Kinds of resources, by Kafka's numbers."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5


class Operation(IntEnum):
    """Operations, by Kafka's numbers. READ, WRITE and ALTER allow DESCRIBE too."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10


class Pattern(IntEnum):
    """Whether a name is meant as it is, or as the beginning of names."""

    LITERAL = 3
    PREFIXED = 4


@dataclass(frozen=True, slots=True)
class Acl:
    """One permission that a role needs."""

    kind: Kind
    name: str
    operation: Operation
    pattern: Pattern = Pattern.LITERAL

    def command(self, principal: str) -> str:
        """The words after `kafka-acls.sh --bootstrap-server …` that grant it."""
        option = {Kind.TOPIC: "--topic", Kind.GROUP: "--group", Kind.TRANSACTIONAL_ID: "--transactional-id"}.get(
            self.kind
        )
        resource = f"{option} {self.name}" if option else "--cluster"
        prefixed = " --resource-pattern-type prefixed" if self.pattern is Pattern.PREFIXED else ""
        operation = "".join(word.capitalize() for word in self.operation.name.split("_"))
        return f"--add --allow-principal {principal} --operation {operation} {resource}{prefixed}"


def needed(role: str, prefix: str, group: str) -> list[Acl]:
    """The permissions of a role, or of `operator` (who creates topics and replays), under a topic prefix.

    `group` is the processor's consumer group, without the prefix. Raises KeyError for another role.
    """
    topics_in = [prefix + topic.name for topic in TOPICS_IN]
    topics_out = [prefix + topic.name for topic in TOPICS_OUT]
    streaks = prefix + topic_of(STREAK_UPDATED).name
    return {
        "processor": [*_topics(topics_in, Operation.READ), Acl(Kind.GROUP, prefix + group, Operation.READ)],
        "claims": [],
        "relay": [
            *_topics([*topics_out, streaks], Operation.READ, Operation.WRITE, Operation.DESCRIBE_CONFIGS),
            Acl(Kind.TRANSACTIONAL_ID, prefix + RELAY_IDS, Operation.WRITE, Pattern.PREFIXED),
        ],
        "api": _topics(topics_in, Operation.WRITE),
        "scheduler": _topics(topics_in, Operation.DESCRIBE),
        "operator": [
            *_topics(topics_in, Operation.CREATE, Operation.WRITE),
            *_topics(topics_out, Operation.CREATE, Operation.DESCRIBE),
        ],
    }[role]


def _topics(names: Iterable[str], *operations: Operation) -> list[Acl]:
    return [Acl(Kind.TOPIC, name, operation) for name in names for operation in operations]


async def grant(bootstrap: str, security: Security | None, acls: Sequence[tuple[str, Acl]]) -> None:
    """Grants (principal, permission) pairs; those that are there stay. Raises BrokerUnreachable, and KafkaProblem when refused."""
    host, port = endpoints(bootstrap)[0]
    try:
        connection = await create_conn(host, port, client_id="missions-acls", **(security or {}))
    except (KafkaError, OSError, TimeoutError) as error:
        raise await why_unreachable(bootstrap, security, error) from error
    try:
        for principal, acl in acls:
            request = CreateAclsRequest(acl.kind, acl.name, acl.pattern, principal, ANYWHERE, acl.operation, ALLOW)
            answer = await connection.send(request)
            for code, message in answer.creation_responses:
                if code:
                    raise KafkaProblem(
                        f"Kafka refused to grant {acl.command(principal)}: {message or for_code(code).__name__}. "
                        "It needs an authorizer (authorizer.class.name) and a user who may ALTER the cluster"
                    )
    except KafkaError as error:
        raise KafkaProblem(f"Kafka did not grant: {error!r}") from error
    finally:
        connection.close()
