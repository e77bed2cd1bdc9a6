"""Settings that every role shares: where the servers are, and how we sign in. Read once from the environment, frozen, passed down."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, SecretStr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from services.missions.streaks import StreakSource

from .addresses import fault_of_postgres_dsn, fault_of_redis_url
from .secret_files import SecretFiles, Unreadable

SASL = ("SASL_PLAINTEXT", "SASL_SSL")
TLS = ("SSL", "SASL_SSL")


class SecretSettings(BaseSettings):
    """Settings whose secrets may each be in a file: `NAME_FILE` says where, as container platforms mount them."""

    model_config = SettingsConfigDict(env_prefix="MISSIONS_", frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then files, then the environment, then a `.env` file. A secret from both is a fault."""
        return init_settings, SecretFiles(settings_cls, dotenv_settings), env_settings, dotenv_settings


class ServerSettings(SecretSettings):
    """Addresses of Kafka, Postgres and Redis, from `MISSIONS_*` variables."""

    kafka_bootstrap: str = Field(description="Kafka's bootstrap servers, `host:port[,host:port]`")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How clients talk to Kafka: with TLS (`SSL`), a password (`SASL_`), or both"
    )
    kafka_sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = Field(
        default="SCRAM-SHA-512", description="How the password is proven; `PLAIN` sends it as it is"
    )
    kafka_sasl_username: str | None = Field(default=None, description="The Kafka user that this process is")
    kafka_sasl_password: SecretStr | None = Field(default=None, description="The Kafka user's password")
    kafka_ssl_cafile: Path | None = Field(
        default=None,
        description="PEM file of the authorities that Kafka's certificates are trusted by; default: the system's",
    )
    kafka_ssl_certfile: Path | None = Field(
        default=None, description="PEM file of this client's certificate, for mutual TLS"
    )
    kafka_ssl_keyfile: Path | None = Field(default=None, description="PEM file of its private key")
    postgres_dsn: SecretStr = Field(
        description="The ledger, `postgresql://user:password@host:port/database`; with TLS `?sslmode=verify-full&sslrootcert=FILE`"
    )
    redis_url: SecretStr = Field(
        description="The projection, `redis://user:password@host:port/0`; with TLS `rediss://…`"
    )
    redis_ssl_cafile: Path | None = Field(
        default=None,
        description="PEM file of the authorities that Redis' certificate is trusted by; default: the system's",
    )
    redis_ssl_certfile: Path | None = Field(
        default=None, description="PEM file of this client's certificate, for mutual TLS"
    )
    redis_ssl_keyfile: Path | None = Field(default=None, description="PEM file of its private key")
    topic_prefix: str = Field(
        default="", description="Put before every topic name, so that several deployments can share one Kafka"
    )
    output_partitions: int = Field(
        default=4,
        ge=1,
        le=1024,
        description="Partitions of each topic out; the relay refuses to start on another number",
    )
    streak_source: StreakSource = Field(
        default=StreakSource.UPSTREAM,
        description="`upstream`: another service publishes learning.streak-updated; `derived`: we do. The same for every role",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _tell_all_faults(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Faults of single settings and of those that go together come in one error, so that one look mends them all."""
        faults = [_fault(name, says) for name, says in _faults_together(given)] if isinstance(given, dict) else []
        try:
            made = handler(given)
        except ValidationError as error:
            known = {fault["loc"] for fault in faults}
            faults += [
                InitErrorDetails(type=_as_custom(e["msg"], e["type"]), loc=e["loc"], input=e["input"])
                for e in error.errors(include_url=False)
                if e["loc"] not in known
            ]
            raise ValidationError.from_exception_data(cls.__name__, faults, hide_input=True) from None
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults, hide_input=True)
        return made


def _faults_together(given: dict[str, Any]) -> list[tuple[str, str]]:
    """(setting, what is wrong) of settings that need, or rule out, each other, and of addresses."""
    faults = [(name, value.says) for name, value in given.items() if isinstance(value, Unreadable)]
    protocol = given.get("kafka_security_protocol", "PLAINTEXT")
    for name in ("kafka_sasl_username", "kafka_sasl_password"):
        if protocol in SASL and not given.get(name):
            faults.append((name, f"is not set, and MISSIONS_KAFKA_SECURITY_PROTOCOL={protocol} needs it"))
        if protocol not in SASL and given.get(name):
            faults.append(
                (name, f"is set, but MISSIONS_KAFKA_SECURITY_PROTOCOL={protocol} would not use it: set SASL_SSL")
            )
    redis = _text(given.get("redis_url"))
    secured = {"kafka": protocol in TLS, "redis": redis.startswith("rediss://")}
    remedy = {
        "kafka": "MISSIONS_KAFKA_SECURITY_PROTOCOL is not SSL or SASL_SSL",
        "redis": "MISSIONS_REDIS_URL is not rediss://",
    }
    for server, with_tls in secured.items():
        for kind in ("cafile", "certfile", "keyfile"):
            name = f"{server}_ssl_{kind}"
            if given.get(name) and not with_tls:
                faults.append((name, f"is set, but {remedy[server]}, so it would not be used"))
            elif given.get(name) and not Path(given[name]).is_file():
                faults.append((name, f"names {given[name]}, where there is no file"))
        if given.get(f"{server}_ssl_keyfile") and not given.get(f"{server}_ssl_certfile"):
            faults.append((f"{server}_ssl_certfile", "is not set, and the key file is of no use without it"))
    addresses = (("postgres_dsn", fault_of_postgres_dsn), ("redis_url", fault_of_redis_url))
    for name, fault_of in addresses:
        if (address := _text(given.get(name))) and (says := fault_of(address)):
            faults.append((name, says))
    return faults


def _text(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value if isinstance(value, str) else ""


def _fault(name: str, says: str) -> InitErrorDetails:
    return InitErrorDetails(type=_as_custom(says, "settings"), loc=(name,), input=None)


def _as_custom(says: str, kind: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{says}", {"says": says})
