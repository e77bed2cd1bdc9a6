-- Topics that are made anew, logs that are cut off at either end: known by the topic's id, and accounted for.

alter table input_position
    add column topic_id uuid,
    add column lost     bigint not null default 0,
    drop constraint input_position_check,
    add constraint input_position_accounted check (
        next_offset - first_offset = applied + unmatched + duplicate + late + dead_letter + unknown + skipped + lost
    );
comment on column input_position.topic_id is 'Kafka''s id of the topic that the account is of; null until a broker has told it';
comment on column input_position.lost is 'Offsets that retention has deleted before they were applied; data_loss says which';
comment on column input_position.skipped is 'Offsets without a record for us: transaction markers, compaction';

-- Records that are gone and were never applied: [from_offset, to_offset). accepted_at: since when the position is behind them.
create table data_loss (
    topic       text not null,
    partition   integer not null,
    incarnation integer not null,
    from_offset bigint not null,
    to_offset   bigint not null check (to_offset > from_offset),
    found_at    timestamptz not null default now(),
    accepted_at timestamptz,
    primary key (topic, partition, incarnation, from_offset)
);

-- Accounts of topics that are no more, as they were when an operator closed them.
create table closed_position (
    like input_position including comments,
    closed_at timestamptz not null default now(),
    primary key (topic, partition, incarnation)
);

alter table relay_checkpoint add column topic_id uuid;
comment on column relay_checkpoint.topic_id is 'Kafka''s id of the topic that next_offset is of; null until a broker has told it';
