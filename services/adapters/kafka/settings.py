"""What the Kafka worker can be told, and the limits it keeps by itself, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SESSION_TIMEOUT_S: Final = 12
"""A worker that dies without a word is replaced after this long. Shorter, and a long garbage collection looks like death."""

HEARTBEAT_S: Final = 3
REBALANCE_TIMEOUT_S: Final = 30
REQUEST_TIMEOUT_S: Final = 40

FETCH_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of one partition in one fetch: above the largest record that brokers take by default (a bit over 1 MiB)."""

FETCH_WAIT_MAX_MS: Final = 100
"""A partition that was full waits this long at most for its next fetch when the others are silent."""

NO_TIMEOUT_S: Final = 1_000_000
"""For the limits of Faust and aiokafka that would stop a worker for good: an idle standby that never comes back into its
group, a seek that waits for the ledger. The heartbeat and the liveness probe watch over both."""

DRAIN_S: Final = 10.0
"""From the signal to the end of the process. Kubernetes kills after 30 s."""

HANDLERS_DRAIN_S: Final = 6.0
"""The part of `DRAIN_S` that running batches have to finish; what is left is for leaving the group."""

LET_GO_S: Final = 10.0
"""How long a rebalance may wait for running batches, and the whole group with it: well below `REBALANCE_TIMEOUT_S`. The heartbeat goes
on meanwhile."""

BATCH_RECORDS_MAX: Final = 30_000
"""Records in one batch: under a backlog a user's row is then written once for two events, and a batch still lasts some seconds at most."""

MEMORY_RECORDS_MAX: Final = 8 * BATCH_RECORDS_MAX
"""Records of all partitions that are fetched and not yet applied, some 240 MiB: a batch in work and one behind it, of four numbers of
partitions. With less, batches are smaller; with more, memory is all that is spent."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of one worker. `security` holds aiokafka's keywords (`security_protocol`, `ssl_context`, `sasl_…`)."""

    bootstrap: str
    """`host:port[,host:port]`"""
    group: str
    client_id: str = "missions"
    batch_size_max: int = BATCH_RECORDS_MAX
    """Records in one batch."""
    records_in_memory_max: int = MEMORY_RECORDS_MAX
    """Records of all partitions that are fetched and not yet applied: bounds memory when many partitions lag."""
    metadata_age_s: int = 10
    """New partitions of a topic are found within this time. One small request for each."""
    lookback: int = 0
    """Offsets before the ledger's position at which a seek begins at least. The handler is given records again that are applied
    already, so that it can finish what a killed worker had left to do after its commit."""
    ledger_look_s: float = 5.0
    """Between two looks at whether the ledger is behind what it had confirmed: what a crash of Postgres takes from a partition
    without new records is applied again this much later. One small query for each."""
    security: Mapping[str, object] = field(default_factory=dict)
