-- Dead letters that operators send through again, partitions that are stopped until an operator lets them go on, and who did what.

-- Who did what to dead letters and partitions, when and why. Rows are only ever added.
create table operator_action (
    seq     bigint generated always as identity primary key,
    at      timestamptz not null default clock_timestamp(),
    by_whom text not null,
    why     text,
    action  text not null,
    subject json not null
);
comment on column operator_action.subject is 'What it was done to, and what came of it: places, filters, counts';
create index operator_action_at on operator_action (at);

create function keep_operator_action() returns trigger language plpgsql as $$
begin
    raise exception 'the record of operators'' actions is only added to';
end $$;

create trigger keep_operator_action before update or delete on operator_action
    for each row execute function keep_operator_action();

alter table input_position
    add column incarnation integer not null default 1,
    add column stopped     text,
    add column stop_detail text,
    add column stopped_at  timestamptz,
    add constraint input_position_stop check ((stopped is null) = (stopped_at is null) and (stopped is null) = (stop_detail is null));
comment on column input_position.incarnation is 'Counts the accounts of this partition: an operator opens a new one when the topic was made anew';
comment on column input_position.stopped is 'Reason code while the partition is stopped: nothing of it is applied until an operator lets it go on';
create index input_position_stopped on input_position (topic, partition) where stopped is not null;

-- The offsets of a topic that was made anew begin again: its letters must not hide behind the old ones.
alter table dead_letter add column incarnation integer not null default 1;
alter table dead_letter drop constraint dead_letter_pkey;
alter table dead_letter add primary key (topic, partition, "offset", incarnation);

-- What happened to a letter since: sent through again, and come back as bad as before. A copy that comes back is a line here and no
-- letter of its own.
create table dead_letter_history (
    seq            bigint generated always as identity primary key,
    topic          text not null,
    partition      integer not null,
    "offset"       bigint not null,
    incarnation    integer not null,
    what           text not null check (what in ('replayed', 'returned')),
    at             timestamptz not null default clock_timestamp(),
    by_whom        text,
    why            text,
    at_partition   integer,
    at_offset      bigint,
    at_incarnation integer,
    reason         text,
    detail         text,
    foreign key (topic, partition, "offset", incarnation) references dead_letter on delete cascade
);
comment on column dead_letter_history.at_offset is
    'Where the copy lies, in the same topic; null until it is known to be published. at_incarnation is known once it has come back';
create index dead_letter_history_letter on dead_letter_history (topic, partition, "offset", incarnation);
create unique index dead_letter_history_returned on dead_letter_history (topic, at_partition, at_offset, at_incarnation) where what = 'returned';

-- What the brake has counted of each partition, up to where it has; touched by bad records only.
create table dead_letter_brake (
    topic        text not null,
    partition    integer not null,
    run          integer not null,
    run_end      bigint not null,
    block        bigint not null,
    block_bad    integer not null,
    accept_left  bigint not null default 0,
    accept_until bigint not null default 0,
    primary key (topic, partition)
);
comment on column dead_letter_brake.run is 'Bad records one after another, up to offset run_end';
comment on column dead_letter_brake.block_bad is 'Bad records in the block of offsets with number `block`';
comment on column dead_letter_brake.accept_left is 'So many more bad records, and all before accept_until, an operator has accepted: they are not counted';

-- A letter with what happened to it. It is open while somebody should look at it: never sent through again for certain, or come back.
create view letter as
select d.*, h.replays, h.returns,
       case when last.what = 'replayed' and last.at_offset is not null then 'replayed' else 'open' end as state
from dead_letter d
cross join lateral (
    select count(*) filter (where what = 'replayed') as replays, count(*) filter (where what = 'returned') as returns
    from dead_letter_history h
    where (h.topic, h.partition, h."offset", h.incarnation) = (d.topic, d.partition, d."offset", d.incarnation)
) as h
left join lateral (
    select what, at_offset from dead_letter_history h
    where (h.topic, h.partition, h."offset", h.incarnation) = (d.topic, d.partition, d."offset", d.incarnation)
    order by seq desc limit 1
) as last on true;
