"""Settings of the relay."""

from pydantic import Field

from services.adapters.settings import ServerSettings


class RelaySettings(ServerSettings):
    """From `MISSIONS_*` variables."""

    inside_host: str = Field(default="127.0.0.1", description="Where /livez, /readyz and /metrics listen")
    inside_port: int = Field(default=18093, description="Port of /livez, /readyz and /metrics")
