-- name: lock
select pg_advisory_lock($1)

-- name: has_table
select to_regclass('schema_migration') is not null

-- name: create_table
create table if not exists schema_migration (
    number     integer primary key,
    name       text not null,
    digest     text not null,
    applied_at timestamptz not null default now()
)

-- name: applied
select number, digest from schema_migration

-- name: record
insert into schema_migration (number, name, digest) values ($1, $2, $3)

-- name: event_log_days
-- As YYYYMMDD, which the partitions' names end with.
select right(c.relname, 8) from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'event_log'::regclass and c.relname ~ '^event_log_[0-9]{8}$' order by 1

-- name: make_event_log_day
select make_event_log_day($1)

-- name: lock_here
select pg_advisory_xact_lock($1)
