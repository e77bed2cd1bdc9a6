"""`python -m tests.chaos.verifier`: verifies a system that has come to rest; exit code 1 when anything differs."""

import argparse
import asyncio
import sys

from .log import LogUnreadable
from .verify import verify


def main() -> int:
    """Prints what is found as it is found, and the verdict as the last line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.verifier",
        description="Reads the input topics itself, works out what ledger, topics out and Redis must hold, and compares. "
        "Ends in ALL EVENTS ACCOUNTED FOR, or in the differences and their number.",
    )
    parser.add_argument("--kafka", required=True, metavar="HOST:PORT", help="a broker")
    parser.add_argument("--dsn", required=True, help="the ledger: postgresql://…")
    parser.add_argument("--redis", required=True, metavar="URL", help="the projection: redis://…")
    parser.add_argument("--prefix", default="", help="of topics and Redis keys; none unless set")
    parser.add_argument(
        "--catalogue", choices=["default"], help="also compare the missions with the default catalogue's files"
    )
    told = parser.parse_args()
    try:
        report = asyncio.run(
            verify(told.kafka, told.dsn, told.redis, told.prefix, catalogue=told.catalogue, progress=print)
        )
    except (LogUnreadable, OSError) as error:
        print(f"✗ can't verify: {error}", file=sys.stderr)
        return 2
    print("\n".join(report.lines[len(report.notes) :]))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
