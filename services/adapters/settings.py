"""Settings that every role shares: where the servers are. Read once from the environment, frozen, passed down."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.missions.streaks import StreakSource


class ServerSettings(BaseSettings):
    """Addresses of Kafka, Postgres and Redis, from `MISSIONS_*` variables."""

    model_config = SettingsConfigDict(env_prefix="MISSIONS_", frozen=True, extra="ignore")

    kafka_bootstrap: str = Field(description="Kafka's bootstrap servers, `host:port[,host:port]`")
    postgres_dsn: SecretStr = Field(description="The ledger, `postgresql://user:password@host:port/database`")
    redis_url: SecretStr = Field(description="The projection, `redis://host:port/0`")
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
