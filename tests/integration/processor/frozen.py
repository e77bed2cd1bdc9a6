"""A processor whose fetcher gives nothing more after its first batch, as Faust's does at times. Settings from the environment."""

import asyncio
import logging
import sys
from typing import Any

from services.adapters.kafka.consumer_thread import BatchConsumerThread
from services.processor.app import run
from services.processor.settings import ProcessorSettings

fetch = BatchConsumerThread._fetch_records
given: list[object] = []


async def fetch_once(self: BatchConsumerThread, consumer: Any, active: Any, **limits: Any) -> dict[Any, Any]:
    """The first records, and then nothing for ever, without a word."""
    if given:
        await asyncio.sleep(0.1)
        return {}
    taken = await fetch(self, consumer, active, **limits)
    given.extend(taken)
    return taken


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    BatchConsumerThread._fetch_records = fetch_once  # type: ignore[method-assign,assignment]
    asyncio.run(run(ProcessorSettings()))
