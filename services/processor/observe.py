"""Turns what a batch did into metrics."""

from collections.abc import Sequence
from datetime import UTC, datetime

from services.adapters import metrics
from services.adapters.ledger.batch import Tally
from services.missions.catalogue import Catalogue

from .decide_users import BatchDecision
from .decode_batch import Decoded
from .parts import Part


def observe_parts(parts: Sequence[Part], seconds: float) -> None:
    """Measures what was applied in one go and ended well, in so many seconds."""
    if not parts:
        return
    metrics.BATCH_SECONDS.observe(seconds)
    metrics.BATCH_RECORDS.observe(sum(len(part.records) for part in parts))
    now = datetime.now(UTC).timestamp()
    for part in parts:
        metrics.EVENT_AGE_SECONDS.observe(max(0.0, now - part.records[-1].timestamp / 1000))
        metrics.LAST_PROCESSED.labels(part.partition.topic, str(part.partition.partition)).set(now)


def observe_decision(decision: BatchDecision, catalogue: Catalogue) -> None:
    """Counts what a committed transaction did for users."""
    for mission_type, amount in decision.count_by_type(catalogue, "issued").items():
        metrics.ISSUED.labels(mission_type).inc(amount)
    for mission_type, amount in decision.count_by_type(catalogue, "completed").items():
        metrics.COMPLETIONS.labels(mission_type).inc(amount)


def observe_part(topic: str, decoded: Decoded, tally: Tally) -> None:
    """Counts what a committed transaction did to one partition's records."""
    for outcome in metrics.OUTCOMES:
        if amount := getattr(tally, outcome):
            metrics.EVENTS.labels(topic, outcome).inc(amount)
    for letter in decoded.letters:
        metrics.DEAD_LETTERS.labels(letter.reason).inc()
    if decoded.key_mismatches:
        metrics.KEY_MISMATCHES.labels(topic).inc(decoded.key_mismatches)
