"""Whoever is not let in is told at once what is wrong and which setting mends it, and no password is in what is told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.adapters.kafka.access import require_sign_in, security_of
from services.adapters.ledger.connection import connect
from services.adapters.refusals import ServerRefuses
from services.adapters.settings import ServerSettings
from services.operations.startup import open_projection
from services.stack.server import laid_over
from tests.support.secured.certificates import Authority
from tests.support.secured.servers import OWNER, Secured, run_missions, settings


async def sign_in(server: str, at: ServerSettings) -> None:
    """Signs in as a role does when it starts."""
    if server == "kafka":
        await require_sign_in(at.kafka_bootstrap, security_of(at))
    elif server == "postgres":
        await (await connect(at.postgres_dsn.get_secret_value())).close()
    else:
        async with open_projection(at, timeout_seconds=5):
            pass


async def refused(server: str, at: ServerSettings, secured: Secured) -> ServerRefuses:
    with pytest.raises(ServerRefuses) as raised:
        await sign_in(server, at)
    assert not any(secret in str(raised.value) for secret in (*secured.passwords.all, "wr0ng"))
    return raised.value


def named(address: str, host: str) -> str:
    """The same address by another name of this machine."""
    return address.replace("127.0.0.1", host)


@pytest.mark.parametrize("server", ["kafka", "postgres", "redis"])
async def test_who_signs_in_rightly_is_let_in(
    server: str, secured: Secured, owner: Mapping[str, str], tmp_path: Path
) -> None:
    await sign_in(server, settings(owner, tmp_path))


@pytest.mark.parametrize("server", ["kafka", "postgres", "redis"])
async def test_a_wrong_password(server: str, secured: Secured, owner: Mapping[str, str], tmp_path: Path) -> None:
    right = settings(owner, tmp_path)
    dsn, url = right.postgres_dsn.get_secret_value(), right.redis_url.get_secret_value()
    wrong = settings(
        owner,
        tmp_path,
        kafka_sasl_password=SecretStr("wr0ng"),
        postgres_dsn=SecretStr(dsn.replace(secured.passwords.postgres, "wr0ng")),
        redis_url=SecretStr(url.replace(secured.passwords.redis, "wr0ng")),
    )

    refusal = await refused(server, wrong, secured)

    assert "does not accept the password of user missions" in refusal.problem
    assert {"kafka": "MISSIONS_KAFKA_SASL_PASSWORD", "postgres": "POSTGRES_DSN", "redis": "REDIS_URL"}[
        server
    ] in refusal.fix


@pytest.mark.parametrize("server", ["kafka", "postgres", "redis"])
async def test_an_authority_that_we_do_not_trust(
    server: str, secured: Secured, owner: Mapping[str, str], tmp_path: Path
) -> None:
    other = Authority(tmp_path, "another").file
    dsn = settings(owner, tmp_path).postgres_dsn.get_secret_value()
    at = settings(
        owner,
        tmp_path,
        kafka_ssl_cafile=other,
        redis_ssl_cafile=other,
        postgres_dsn=SecretStr(dsn.replace(str(secured.authority.file), str(other))),
    )

    refusal = await refused(server, at, secured)

    assert "signed by nobody that we trust" in refusal.problem
    assert {"kafka": "KAFKA_SSL_CAFILE", "postgres": "sslrootcert", "redis": "REDIS_SSL_CAFILE"}[server] in refusal.fix


@pytest.mark.parametrize("server", ["kafka", "postgres", "redis"])
async def test_a_certificate_of_another_host(
    server: str, secured: Secured, owner: Mapping[str, str], tmp_path: Path
) -> None:
    right = settings(owner, tmp_path)
    at = settings(
        owner,
        tmp_path,
        kafka_bootstrap=named(right.kafka_bootstrap, "localhost"),
        postgres_dsn=SecretStr(named(right.postgres_dsn.get_secret_value(), "localhost")),
        redis_url=SecretStr(named(right.redis_url.get_secret_value(), "localhost")),
    )

    refusal = await refused(server, at, secured)

    assert "is for another host" in refusal.problem


@pytest.mark.parametrize("server", ["kafka", "postgres", "redis"])
async def test_an_expired_certificate(server: str, secured: Secured, owner: Mapping[str, str], tmp_path: Path) -> None:
    authority = Authority(tmp_path, "careless")
    certificate = authority.certificate("expired", ("127.0.0.1",), expired=True)
    async with tls_alone(certificate, asks_first=server == "postgres") as port:
        at = settings(
            owner,
            tmp_path,
            kafka_bootstrap=f"127.0.0.1:{port}",
            kafka_ssl_cafile=authority.file,
            redis_url=SecretStr(f"rediss://u:wr0ng@127.0.0.1:{port}/0"),
            redis_ssl_cafile=authority.file,
            postgres_dsn=SecretStr(
                f"postgresql://u:wr0ng@127.0.0.1:{port}/m?sslmode=verify-full&sslrootcert={authority.file}"
            ),
        )
        refusal = await refused(server, at, secured)

    assert "has expired" in refusal.problem


@pytest.mark.parametrize("server", ["kafka", "postgres", "redis"])
async def test_coming_without_tls_to_a_server_that_wants_it(
    server: str, secured: Secured, owner: Mapping[str, str], tmp_path: Path
) -> None:
    right = settings(owner, tmp_path)
    dsn, url = right.postgres_dsn.get_secret_value(), right.redis_url.get_secret_value()
    at = settings(
        {name: value for name, value in owner.items() if "SSL_CAFILE" not in name},
        tmp_path,
        kafka_security_protocol="SASL_PLAINTEXT",
        postgres_dsn=SecretStr(f"{dsn.partition('?')[0]}?sslmode=disable"),
        redis_url=SecretStr(url.replace("rediss://", "redis://")),
    )

    refusal = await refused(server, at, secured)

    assert {"kafka": "SASL_SSL", "postgres": "sslmode=verify-full", "redis": "rediss://"}[server] in refusal.fix


async def test_a_redis_user_who_may_not_do_what_is_needed(
    secured: Secured, owner: Mapping[str, str], tmp_path: Path
) -> None:
    url = settings(owner, tmp_path).redis_url.get_secret_value()
    at = settings(owner, tmp_path, redis_url=SecretStr(url.replace("missions:", "looker:")))

    refusal = await refused("redis", at, secured)

    assert "does not let the user looker do what is needed" in refusal.problem


@pytest.mark.parametrize(
    ("command", "changed", "says"),
    [
        (("processor",), {"MISSIONS_KAFKA_SASL_USERNAME": "nobody"}, "consumer group missions-processor"),
        (("relay",), {"MISSIONS_KAFKA_SASL_USERNAME": "nobody"}, "transactions as missions-relay-0"),
        (("api",), {"MISSIONS_KAFKA_SASL_USERNAME": "nobody", "MISSIONS_ENVIRONMENT": "development"}, "topics acls"),
        (("scheduler",), {"MISSIONS_KAFKA_SASL_MECHANISM": "PLAIN"}, "does not know the mechanism PLAIN"),
        (
            ("migrate",),
            {"MISSIONS_POSTGRES_DSN": "postgresql://missions:wr0ng@{postgres}/missions"},
            "password of user missions",
        ),
        (
            ("projection", "rebuild"),
            {"MISSIONS_REDIS_URL": "rediss://missions:wr0ng@{redis}/0"},
            "password of user missions",
        ),
        (("doctor",), {"MISSIONS_KAFKA_SASL_USERNAME": "nobody-known"}, "does not accept the password"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_process_that_is_refused_ends_at_once_and_says_why(
    command: tuple[str, ...], changed: dict[str, str], says: str, secured: Secured, tmp_path: Path
) -> None:
    ports = {"postgres": secured.servers.postgres.address, "redis": secured.servers.redis.address}
    hosts = {name: address.rpartition("@")[2].partition("/")[0] for name, address in ports.items()}
    own = {name: value.format(**hosts) for name, value in changed.items()}
    own |= {
        "MISSIONS_LOCAL_DIR": str(tmp_path),
        "MISSIONS_DEVELOPMENT_KEY_FILE": str(tmp_path / "key.pem"),
        "COLUMNS": "400",
    }

    done = run_missions(laid_over(secured.environment(OWNER), own), *command)

    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert says in said
    assert "Traceback" not in said
    assert not any(secret in said for secret in (*secured.passwords.all, "wr0ng"))


@asynccontextmanager
async def tls_alone(certificate: tuple[Path, Path], *, asks_first: bool) -> AsyncIterator[int]:
    """A port that shakes hands with this certificate and says no more. `asks_first`: in Postgres' way, after a question."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if asks_first:
                await reader.readexactly(8)
                writer.write(b"S")
                await writer.drain()
            await writer.start_tls(context)
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(shake_hands, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
