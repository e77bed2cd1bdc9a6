"""Settings of the claims role."""

from pydantic import Field

from services.adapters.http_server import ProxySettings
from services.adapters.rate_limits import LimitSettings
from services.adapters.settings import ServerSettings
from services.adapters.tokens import TokenSettings


class ClaimsSettings(ServerSettings, TokenSettings, LimitSettings, ProxySettings):
    """From `MISSIONS_*` variables."""

    http_host: str = Field(default="127.0.0.1", description="Where callers reach it; 0.0.0.0 in a container")
    http_port: int = Field(default=18081, ge=0, le=65535, description="Port of POST /missions/claim; 0 = any free one")
    inside_host: str = Field(default="127.0.0.1", description="Where /livez, /readyz and /metrics listen")
    inside_port: int = Field(default=18092, ge=0, le=65535, description="Port of /livez, /readyz and /metrics")
    postgres_connections: int = Field(default=16, ge=1, description="Claims decided at once; more wait their turn")
