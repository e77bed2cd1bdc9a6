"""`python -m services.stack up|down|status --directory DIR`: the embedded servers alone, without the roles."""

import argparse
import sys
from pathlib import Path

from services.stack.errors import StackError
from services.stack.ports import Ports
from services.stack.providers import embedded_servers


def main() -> int:
    """Start, stop or show the embedded servers; ports come from `MISSIONS_PORT_*`. Exit code 1 and a fix on a fault."""
    parser = argparse.ArgumentParser(prog="python -m services.stack", description=__doc__)
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument("--directory", type=Path, required=True, help="where data, logs and pid files go")
    parser.add_argument("--fast", action="store_true", help="give up surviving a power cut; for tests")
    arguments = parser.parse_args()
    out = sys.stdout.write
    try:
        servers = embedded_servers(arguments.directory.resolve(), Ports.from_environment(), durable=not arguments.fast)
        if arguments.action == "up":
            for name, value in servers.start().environment().items():
                out(f"{name}={value}\n")
        elif arguments.action == "down":
            servers.stop()
        else:
            for server in servers.all:
                out(f"{server.title}: {server.identity or 'down'}\n")
    except StackError as error:
        sys.stderr.write("\n".join([*error.details, f"✗ {error}"]) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
