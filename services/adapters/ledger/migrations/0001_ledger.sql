-- The ledger: what is true about users, their missions, and how far each input partition has been applied.

-- One row a user: the profile and every assignment that can still change or be shown (services/missions/state.py gives the JSON's shape).
-- `version` and `stamp` guard every write. Room is left in each page so that an update stays on it and touches no index.
create table user_state (
    user_id         text primary key,
    version         bigint not null,
    stamp           bigint not null,
    state           json not null,
    next_issue_at   timestamptz,
    last_active_day date,
    updated_at      timestamptz not null default now()
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
comment on column user_state.next_issue_at is 'End of the newest daily period that was issued: when the scheduler issues again';

create index user_state_next_issue_at on user_state (next_issue_at);

-- One row an assignment, for ever. While it is IN_PROGRESS its progress is in user_state; the end is written here.
create table assignment (
    user_id         text not null,
    mission_id      text not null,
    starts_at       timestamptz not null,
    assignment_id   uuid not null,
    mission_version integer not null,
    expires_at      timestamptz,
    status          text not null default 'IN_PROGRESS' check (status in ('IN_PROGRESS', 'COMPLETED', 'CLAIMED', 'EXPIRED')),
    progress        json,
    completed_at    timestamptz,
    claimable_until timestamptz,
    claimed_at      timestamptz,
    expired_at      timestamptz,
    primary key (user_id, mission_id, starts_at)
) with (fillfactor = 85);
comment on column assignment.progress is 'Progress of each objective, in the order of the definition, once the assignment has ended';

create index assignment_to_expire on assignment (expires_at) where status = 'IN_PROGRESS';

-- UserQuestionHistory: one row for each question a user has answered. `answers` guards every write.
create table user_question (
    user_id          text not null,
    question_id      text not null,
    answers          integer not null,
    correct_answers  integer not null,
    last_correct     boolean not null,
    last_answered_at timestamptz not null,
    mistake_since    timestamptz,
    corrected_at     timestamptz,
    topic_id         text not null,
    chapter_id       text not null,
    language         text not null,
    primary key (user_id, question_id)
) with (fillfactor = 80);

-- Every event that was accepted, once: deduplicates by (source, event_id), and answers "why did this not count".
create table event_log (
    day         date not null,
    source      text not null,
    event_id    text not null,
    user_id     text not null,
    event_type  text not null,
    event_time  timestamptz not null,
    recorded_at timestamptz not null,
    topic       text not null,
    partition   integer not null,
    "offset"    bigint not null,
    data        json not null,
    primary key (source, event_id, day)
) partition by range (day);
comment on column event_log.day is 'UTC day of event_time: the partition';

-- How far each input partition has been applied, and what became of every record of it:
-- next_offset - first_offset = applied + unmatched + duplicate + late + dead_letter + unknown + skipped, always.
create table input_position (
    topic        text not null,
    partition    integer not null,
    first_offset bigint not null,
    next_offset  bigint not null,
    applied      bigint not null default 0,
    unmatched    bigint not null default 0,
    duplicate    bigint not null default 0,
    late         bigint not null default 0,
    dead_letter  bigint not null default 0,
    unknown      bigint not null default 0,
    skipped      bigint not null default 0,
    last_record_at timestamptz,
    updated_at   timestamptz not null default now(),
    primary key (topic, partition),
    check (next_offset - first_offset = applied + unmatched + duplicate + late + dead_letter + unknown + skipped)
) with (fillfactor = 50);
comment on column input_position.skipped is 'Offsets without a record for us: transaction markers, compaction, retention';

create table dead_letter (
    topic       text not null,
    partition   integer not null,
    "offset"    bigint not null,
    reason      text not null,
    detail      text not null,
    recorded_at timestamptz not null,
    key         bytea,
    value       bytea,
    headers     json not null,
    created_at  timestamptz not null default now(),
    replayed_at timestamptz,
    primary key (topic, partition, "offset")
);
create index dead_letter_created_at on dead_letter (created_at);

-- Committed but not yet published. A row leaves when the relay knows it published.
-- A user's rows are inserted under the lock of its user_state row, so their seq order is their commit order.
create table outbox (
    partition  smallint not null,
    seq        bigint generated always as identity,
    message_id uuid not null,
    topic      text not null,
    key        bytea,
    payload    bytea,
    headers    json,
    created_at timestamptz not null default clock_timestamp(),
    primary key (partition, seq)
);
comment on column outbox.partition is 'Output partition, by murmur2 of the key: the same in every topic out';

-- Up to here the relay knows what it has published; a restart looks for published messages from here on.
create table relay_checkpoint (
    topic       text not null,
    partition   smallint not null,
    next_offset bigint not null,
    primary key (topic, partition)
);

-- At most one grant an assignment, for ever.
create table reward_grant (
    assignment_id uuid primary key,
    grant_id      uuid not null unique,
    user_id       text not null,
    mission_id    text not null,
    granted_at    timestamptz not null,
    rewards       json not null
);
create index reward_grant_user on reward_grant (user_id, granted_at);

-- Answers given under an Idempotency-Key, so that a repeated request gets the same one.
create table claim_answer (
    user_id         text not null,
    idempotency_key text not null,
    request_hash    text not null,
    status          smallint not null,
    body            json not null,
    created_at      timestamptz not null default now(),
    primary key (user_id, idempotency_key)
);

-- Mission definitions. A published version never changes.
create table mission_version (
    mission_id   text not null,
    version      integer not null,
    definition   json not null,
    published_at timestamptz not null default now(),
    primary key (mission_id, version)
);

-- One row: counts the changes of the catalogue, so that every process sees when to load it again.
create table catalogue_revision (
    only_row boolean primary key default true check (only_row),
    revision bigint not null
);
insert into catalogue_revision (revision) values (0);
