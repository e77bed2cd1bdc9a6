"""Turns what a batch did into metrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter

from services.adapters import metrics
from services.adapters.kafka.records import Batch
from services.adapters.ledger.batch import Tally
from services.missions.catalogue import Catalogue

from .decide_users import BatchDecision
from .decode_batch import Decoded


@contextmanager
def observe_batch(batch: Batch) -> Iterator[None]:
    """Measures a batch that ends well, from here to its end."""
    started = perf_counter()
    yield
    metrics.BATCH_SECONDS.observe(perf_counter() - started)
    metrics.BATCH_RECORDS.observe(len(batch.records))
    newest = batch.records[-1].timestamp / 1000
    metrics.EVENT_AGE_SECONDS.observe(max(0.0, datetime.now(UTC).timestamp() - newest))
    metrics.LAST_PROCESSED.labels(batch.partition.topic, str(batch.partition.partition)).set_to_current_time()


def observe_transaction(
    topic: str, decoded: Decoded, decision: BatchDecision, tally: Tally, catalogue: Catalogue
) -> None:
    """Counts what a committed transaction did."""
    for outcome in metrics.OUTCOMES:
        if amount := getattr(tally, outcome):
            metrics.EVENTS.labels(topic, outcome).inc(amount)
    for letter in decoded.letters:
        metrics.DEAD_LETTERS.labels(letter.reason).inc()
    if decoded.key_mismatches:
        metrics.KEY_MISMATCHES.labels(topic).inc(decoded.key_mismatches)
    for mission_type, amount in decision.count_by_type(catalogue, "issued").items():
        metrics.ISSUED.labels(mission_type).inc(amount)
    for mission_type, amount in decision.count_by_type(catalogue, "completed").items():
        metrics.COMPLETIONS.labels(mission_type).inc(amount)
