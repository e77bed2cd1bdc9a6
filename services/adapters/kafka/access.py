"""Signs clients in to Kafka: the keywords that every client gets, and why a broker does not let one in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.coordination import FindCoordinatorRequest

from services.adapters.refusals import HANDSHAKE_SECONDS, ServerRefuses, refusal_of_tls, speaks_tls, tls_context

from .errors import BrokerRefuses, BrokerUnreachable

if TYPE_CHECKING:
    from services.adapters.settings import ServerSettings

Security = Mapping[str, Any]
"""aiokafka's keywords `security_protocol`, `ssl_context` and `sasl_…`, for every client; empty = plaintext, nobody."""

CA_SETTING: Final = "MISSIONS_KAFKA_SSL_CAFILE"
PASSWORD_SETTINGS: Final = (
    "MISSIONS_KAFKA_SASL_USERNAME and MISSIONS_KAFKA_SASL_PASSWORD (or MISSIONS_KAFKA_SASL_PASSWORD_FILE)"  # noqa: S105 - the settings' names
)
PROTOCOL_SETTING: Final = "MISSIONS_KAFKA_SECURITY_PROTOCOL"

GROUP, TRANSACTIONS = 0, 1
"""Kinds of coordinators, by Kafka's numbers."""

_REFUSED = (SaslAuthenticationFailed, AuthenticationFailedError, IllegalSaslStateError)


def security_of(settings: ServerSettings) -> Security:
    """The keywords for this process's settings. Raises `ServerRefuses` for TLS files that can't be used."""
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return {}
    keywords: dict[str, Any] = {"security_protocol": protocol}
    if protocol in ("SSL", "SASL_SSL"):
        files = settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile
        keywords["ssl_context"] = tls_context(*files, "MISSIONS_KAFKA_SSL_CAFILE, …_CERTFILE and …_KEYFILE")
    if protocol in ("SASL_PLAINTEXT", "SASL_SSL") and settings.kafka_sasl_password is not None:
        keywords |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    return keywords


async def why_unreachable(bootstrap: str, security: Security | None, cause: BaseException | None) -> BrokerUnreachable:
    """What to raise after `cause`: `BrokerRefuses` when a broker answers and does not let us in, else `BrokerUnreachable`.

    The client itself says only that it could not bootstrap. A look of our own finds out why.
    """
    for host, port in endpoints(bootstrap):
        refusal = await _look(host, port, security or {})
        if refusal is not None:
            return BrokerRefuses(bootstrap, refusal)
    return BrokerUnreachable(bootstrap, cause)


async def require_sign_in(
    bootstrap: str, security: Security | None, *, group: str | None = None, transactional_id: str | None = None
) -> None:
    """Raises `BrokerRefuses` when a broker answers and does not let us in, or not into our group or transactions.

    Brokers that are away are no fault here. Who may read (or write) may also ask for the coordinator, and that changes nothing.
    """
    coordinators = [(key, kind) for key, kind in ((group, GROUP), (transactional_id, TRANSACTIONS)) if key is not None]
    for host, port in endpoints(bootstrap):
        refusal = await _look(host, port, security or {}, coordinators)
        if refusal is not None:
            raise BrokerRefuses(bootstrap, refusal)


def endpoints(bootstrap: str) -> list[tuple[str, int]]:
    """Host and port of each bootstrap server."""
    found = []
    for each in bootstrap.split(","):
        host, _, port = each.strip().rpartition(":")
        if host and port.isdigit():
            found.append((host.strip("[]"), int(port)))
    return found


async def _look(
    host: str, port: int, security: Security, coordinators: Sequence[tuple[str, int]] = ()
) -> ServerRefuses | None:
    address = f"{host}:{port}"
    try:
        connection = await create_conn(
            host, port, client_id="missions-look", request_timeout_ms=int(HANDSHAKE_SECONDS * 1000), **security
        )
    except UnsupportedSaslMechanismError as error:
        return ServerRefuses(
            f"Kafka at {address} does not know the mechanism {security.get('sasl_mechanism')} ({error})",
            "set MISSIONS_KAFKA_SASL_MECHANISM to one that the broker has",
        )
    except _REFUSED:
        return ServerRefuses(
            f"Kafka at {address} does not accept the password of user {security.get('sasl_plain_username')} "
            f"({security.get('sasl_mechanism')})",
            f"correct {PASSWORD_SETTINGS}",
        )
    except (OSError, KafkaConnectionError, TimeoutError, asyncio.IncompleteReadError) as error:
        return refusal_of_tls(error, "Kafka", address, CA_SETTING) or await _without_tls(host, port, security)
    try:
        return await _without_permission(connection, address, security, coordinators)
    except (KafkaConnectionError, OSError, TimeoutError):
        return None
    finally:
        connection.close()


async def _without_permission(
    connection: Any, address: str, security: Security, coordinators: Sequence[tuple[str, int]]
) -> ServerRefuses | None:
    for key, kind in coordinators:
        code = (await connection.send(FindCoordinatorRequest(key, kind))).error_code
        if for_code(code) in (GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed):
            what = "the consumer group" if kind == GROUP else "transactions as"
            return ServerRefuses(
                f"Kafka at {address} does not let user {security.get('sasl_plain_username', 'ANONYMOUS')} use {what} {key}",
                "grant what `missions topics acls` shows for this role",
            )
    return None


async def _without_tls(host: str, port: int, security: Security) -> ServerRefuses | None:
    """Whether we came without TLS to a port that speaks nothing else."""
    if "ssl_context" not in security and await speaks_tls(host, port):
        return ServerRefuses(
            f"Kafka at {host}:{port} speaks TLS, and {PROTOCOL_SETTING} says not to",
            f"set {PROTOCOL_SETTING} to SASL_SSL or SSL",
        )
    return None
