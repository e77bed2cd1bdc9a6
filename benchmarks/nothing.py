"""`python -m benchmarks.nothing`: the api's HTTP server and token check around a route that does nothing, for http_load.py."""

import argparse
from pathlib import Path

import uvloop

from services.adapters.http import UserCaller, create_http_app
from services.adapters.http_server import HttpServer, serve_until_signal
from services.adapters.tokens import TokenSettings, TokenVerifier
from services.stack.ports import LOOPBACK


async def main(port: int, key: Path) -> None:
    """Serves `GET /nothing` until SIGTERM."""
    verifier = TokenVerifier.from_settings(TokenSettings(environment="development", development_key_file=key))
    app = create_http_app("Nothing", "", verifier, "1")

    @app.get("/nothing")
    async def nothing(_caller: UserCaller) -> dict[str, str]:
        return {}

    await serve_until_signal(HttpServer(app, LOOPBACK, port, variable="--port"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nothing", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", type=Path, required=True, help="the development key's file")
    arguments = parser.parse_args()
    uvloop.run(main(arguments.port, arguments.key))
