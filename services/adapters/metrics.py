"""Every Prometheus series of the mission system, declared once, with help. Labels come from closed sets only, never a user."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter(
    "mission_events_total",
    "Records taken from the input topics, by what became of them; the outcomes add up to the records in the log",
    ["topic", "outcome"],
)
OUTCOMES = ("applied", "unmatched", "duplicate", "late", "dead_letter", "unknown", "skipped")

DEAD_LETTERS = Counter("mission_dead_letters_total", "Records that can never be applied, by reason code", ["reason"])
KEY_MISMATCHES = Counter("mission_key_mismatches_total", "Records whose key is not the event's subject", ["topic"])
BATCH_SECONDS = Histogram(
    "mission_batch_seconds",
    "Time from taking a batch to its commit and projection",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
BATCH_RECORDS = Histogram(
    "mission_batch_records", "Records in a batch", buckets=(1, 10, 50, 100, 500, 1000, 2000, 4000, 8000, 16000)
)
EVENT_AGE_SECONDS = Histogram(
    "mission_event_e2e_seconds",
    "Time from a record's Kafka timestamp to its durable effect, for the newest record of each batch",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
)
CONFLICTS = Counter("mission_user_conflicts_total", "Users decided again because another writer was first")
BATCH_RETRIES = Counter(
    "mission_batch_retries_total", "Batches tried again because a server was away or busy", ["error"]
)
RESEEKS = Counter("mission_reseeks_total", "Partitions sent back to the ledger's position", ["topic", "reason"])
HALTED = Gauge(
    "mission_partition_halted",
    "1 while a partition is stopped, by reason code; `missions partitions list` says why and how to go on",
    ["topic", "partition", "reason"],
)
RECORDS_LOST = Counter(
    "mission_records_lost_total",
    "Records that retention deleted before they were applied; the ledger's table data_loss says which",
    ["topic"],
)
COMPLETIONS = Counter("mission_completions_total", "Assignments completed", ["mission_type"])
ISSUED = Counter("mission_assignments_issued_total", "Assignments issued", ["mission_type"])
PROJECTION_FAILURES = Counter(
    "mission_projection_failures_total", "Calls that Redis could not answer; the ledger answered instead", ["role"]
)
LAST_PROCESSED = Gauge(
    "mission_last_processed_timestamp_seconds", "When this partition last moved", ["topic", "partition"]
)
LAG = Gauge("mission_consumer_lag", "Records in the log that are not applied yet", ["topic", "partition"])
ASSIGNED = Gauge("mission_consumer_assigned_partitions", "Input partitions that this processor owns")
CATALOGUE_REVISION = Gauge("mission_catalogue_revision", "The catalogue revision that this process uses")
BUILD = Gauge("mission_build_info", "Always 1; the version is a label", ["version", "role"])
HTTP_REQUESTS = Counter("mission_http_requests_total", "HTTP requests answered", ["route", "method", "status"])
HTTP_SECONDS = Histogram(
    "mission_http_request_seconds",
    "Time to answer an HTTP request",
    ["route", "method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
TOKEN_KEY_FETCHES = Counter(
    "mission_token_key_fetches_total", "Fetches of the identity provider's keys, by outcome", ["outcome"]
)
CLAIMS = Counter("mission_claims_total", "Claims, by what became of them", ["outcome"])
LAST_TICK = Gauge(
    "mission_scheduler_last_tick_timestamp_seconds", "When the scheduler last finished a look at the clock"
)

OUTBOX_PENDING = Gauge(
    "mission_outbox_pending", "Messages committed but not published yet; counted up to 100,000, the same in every relay"
)
OUTBOX_OLDEST = Gauge(
    "mission_outbox_oldest_timestamp_seconds", "When the oldest of them was put into the outbox; 0 when none waits"
)
RELAY_PUBLISHED = Counter("mission_relay_published_total", "Messages published", ["topic"])
RELAY_ERRORS = Counter(
    "mission_relay_errors_total", "Errors after which a lane started again from what Kafka has, by kind", ["error"]
)
RELAY_LANES_HELD = Gauge("mission_relay_lanes_held", "Output partitions that this relay publishes")
HTTP_EVENTS = Counter(
    "mission_http_events_total", "Events sent to POST /missions/progress, by what became of them", ["outcome"]
)
QUESTIONS_SELECTED = Counter(
    "mission_questions_selected_total", "Questions that GET /questions/next gave, by why", ["reason"]
)
