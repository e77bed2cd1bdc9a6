"""Settings of the scheduler."""

from pydantic import Field

from services.adapters.settings import ServerSettings
from services.operations.issue import ACTIVE_DAYS


class SchedulerSettings(ServerSettings):
    """From `MISSIONS_*` variables."""

    inside_host: str = Field(default="127.0.0.1", description="Where /livez, /readyz and /metrics listen")
    inside_port: int = Field(default=18095, description="Port of /livez, /readyz and /metrics")
    tick_seconds: float = Field(default=30, gt=0, description="How often the clock is looked at")
    active_days: int = Field(
        default=ACTIVE_DAYS,
        ge=1,
        description="Users seen in the last so many days get their missions at their midnight",
    )
    event_log_days: int = Field(
        default=35,
        ge=35,
        description="Days that the event log keeps; at least 35, the age of the oldest event accepted",
    )
