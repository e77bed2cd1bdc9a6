"""Python runs this at its start where it is on the path: gives a role of a chaos run a clock that is wrong by some seconds."""

import os
from datetime import UTC, datetime, timedelta

import time_machine

if seconds := float(os.environ.get("CHAOS_CLOCK_SECONDS", "0")):
    time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds), tick=True).start()
