"""Peer: Quix Streams, state in RocksDB with a changelog topic; at least once, or exactly once by Kafka's transactions.

Runs in the peers' own environment (requirements/peers.txt) and imports nothing of the system.
"""

import argparse
import json
import sys
import threading
import time
from typing import Any

from quixstreams import Application, State

from benchmarks.peers.rules import advance, new_state

TELL_SECONDS = 0.25


class Progress:
    """Tells on stdout, as JSON lines, how many records were applied."""

    def __init__(self) -> None:
        self.applied = 0
        threading.Thread(target=self._tell, daemon=True).start()

    def _tell(self) -> None:
        while True:
            time.sleep(TELL_SECONDS)
            self.tell()

    def tell(self) -> None:
        """One line."""
        sys.stdout.write(json.dumps({"applied": self.applied}) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Applies `--events` records and ends, after its last checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("kafka", "topic", "out", "group", "directory"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--guarantee", choices=("at-least-once", "exactly-once"), required=True)
    arguments = parser.parse_args()
    progress = Progress()
    app = Application(
        arguments.kafka,
        consumer_group=arguments.group,
        auto_offset_reset="earliest",
        state_dir=arguments.directory,
        processing_guarantee=arguments.guarantee,
        loglevel="WARNING",
    )

    def apply(event: dict[str, Any], state: State) -> list[dict[str, str]]:
        user = state.get("u") or new_state()
        changed, completed = advance(user, event)
        if changed:
            state.set("u", user)
        progress.applied += 1
        if progress.applied == arguments.events:
            app.stop()
        return [{"user": event["subject"], "mission": mission} for mission in completed]

    source = app.topic(arguments.topic, key_deserializer="str", value_deserializer="json")
    out = app.topic(arguments.out, key_serializer="str", value_serializer="json")
    app.dataframe(source).apply(apply, stateful=True, expand=True).to_topic(out)
    app.run()
    progress.tell()


if __name__ == "__main__":
    main()
