"""Settings of the processor."""

from pydantic import Field

from services.adapters.kafka.settings import BATCH_RECORDS_MAX
from services.adapters.settings import ServerSettings

from .apply_batch import USERS_IN_MEMORY_MAX
from .guard import OnLoss


class ProcessorSettings(ServerSettings):
    """From `MISSIONS_*` variables."""

    inside_host: str = Field(default="127.0.0.1", description="Where /livez, /readyz and /metrics listen")
    inside_port: int = Field(default=18091, description="Port of /livez, /readyz and /metrics")
    consumer_group: str = Field(default="missions-processor", description="Kafka consumer group")
    batch_size_max: int = Field(
        default=BATCH_RECORDS_MAX,
        ge=1,
        le=50_000,
        description="Records in one transaction: larger is faster, smaller is sooner",
    )
    on_data_loss: OnLoss = Field(
        default=OnLoss.CONTINUE,
        description="What a partition does when retention has deleted records before they were applied: `continue` or `stop`",
    )
    stall_seconds: float = Field(
        default=45,
        ge=1,
        description="A consumer that stands still for so long while records wait ends its process; a broker is asked first",
    )
    users_in_memory_max: int = Field(
        default=USERS_IN_MEMORY_MAX,
        ge=0,
        le=10_000_000,
        description="Users whose states are kept in memory, some 4 KiB each; the others are read from Redis",
    )
    huge_pages: bool = Field(
        default=True,
        description="Ask the kernel for huge pages: less core time, somewhat more memory",
    )
    lanes_max: int = Field(
        default=3,
        ge=1,
        le=64,
        description="Batches in work at once: Python decodes one while Postgres writes others",
    )
