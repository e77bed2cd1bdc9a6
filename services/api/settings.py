"""Settings of the api role."""

from pathlib import Path

from pydantic import Field, HttpUrl

from services.adapters.http_server import ProxySettings
from services.adapters.rate_limits import LimitSettings
from services.adapters.settings import ServerSettings
from services.adapters.tokens import TokenSettings


class ApiSettings(ServerSettings, TokenSettings, LimitSettings, ProxySettings):
    """From `MISSIONS_*` variables."""

    http_host: str = Field(default="127.0.0.1", description="Where callers reach it; 0.0.0.0 in a container")
    http_port: int = Field(default=18080, ge=0, le=65535, description="Port of the HTTP calls; 0 = any free one")
    inside_host: str = Field(default="127.0.0.1", description="Where /livez, /readyz and /metrics listen")
    inside_port: int = Field(default=18094, ge=0, le=65535, description="Port of /livez, /readyz and /metrics")
    postgres_connections: int = Field(default=16, ge=1, description="Calls that ask the ledger at once; more wait")
    claims_url: HttpUrl | None = Field(
        default=None, description="The claims role; set, POST /missions/claim is passed on to it"
    )
    questions: Path | None = Field(
        default=None,
        description="Question catalogue: a YAML file or a folder of them; default: the sample that comes along",
    )
