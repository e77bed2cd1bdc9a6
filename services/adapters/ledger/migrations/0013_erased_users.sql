-- Users whose data was erased. What Kafka still holds of them may be delivered again at any time: it finds them here, and counts nowhere.

create table erased_user (
    user_id   text primary key,
    erased_at timestamptz not null default now()
);

-- One row: another number after each erasure, so that every batch sees at the price of one row whether there was one. A random number, for
-- a count could come to the same after a failover that lost commits.
create table erasure_mark (
    only_row boolean primary key default true check (only_row),
    mark     bigint not null
);
insert into erasure_mark (mark) values (0);
