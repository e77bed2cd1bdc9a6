"""Where the local stack keeps what it makes: all of it below `.local/`, which git ignores."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def local_directory() -> Path:
    """`.local/` of the checkout, or `MISSIONS_LOCAL_DIR`."""
    return Path(os.environ.get("MISSIONS_LOCAL_DIR") or PROJECT / ".local").resolve()


def jar_cache() -> Path:
    """Where Kafka's jars are kept, shared by every stack of this checkout; `MISSIONS_KAFKA_JARS` moves it."""
    return Path(os.environ.get("MISSIONS_KAFKA_JARS") or PROJECT / ".local" / "kafka-jars").resolve()
