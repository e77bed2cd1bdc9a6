-- name: create_database
create database {name}

-- name: copy_database
create database {name} template {template}

-- name: checkpoint
checkpoint

-- name: positions
-- How far each input partition has been applied.
select coalesce(sum(next_offset - first_offset), 0)::bigint from input_position

-- name: outcomes
select coalesce(sum(next_offset - first_offset), 0)::bigint as offsets, coalesce(sum(applied), 0)::bigint as applied,
       coalesce(sum(unmatched), 0)::bigint as unmatched, coalesce(sum(duplicate), 0)::bigint as duplicate,
       coalesce(sum(late), 0)::bigint as late, coalesce(sum(dead_letter), 0)::bigint as dead_letter,
       coalesce(sum(unknown), 0)::bigint as unknown, coalesce(sum(skipped), 0)::bigint as skipped
from input_position

-- name: writes
-- A version is one write of a user's row, so the sum counts writes. `rows_written` is Postgres's own count over all tables, with what
-- was taken back; sessions that have ended have told it all they wrote.
select (select count(*) from event_log) as event_log, (select count(*) from user_state) as users,
       (select coalesce(sum(version), 0)::bigint from user_state) as user_state,
       (select coalesce(sum(answers), 0)::bigint from user_question) as answers,
       (select count(*) from user_question) as questions,
       (select count(*) from assignment) as assignments,
       (select count(*) from assignment where status = 'COMPLETED') as completed,
       (select count(*) from outbox) as outbox,
       (select coalesce(sum(n_tup_ins + n_tup_upd), 0)::bigint from pg_stat_user_tables) as rows_written

-- name: states
select user_id, state from user_state where user_id = any($1::text[])

-- name: log_of_users
select user_id, count(*) from event_log where user_id = any($1::text[]) group by user_id

-- name: settings
select name, setting from pg_settings where name in ('fsync', 'full_page_writes', 'shared_buffers', 'server_version') order by name

-- name: wal_position
select pg_current_wal_insert_lsn()::text

-- name: wal_since
select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::text::pg_lsn)::bigint

-- name: table_sizes
-- Partitions are counted to the whole. Bytes of the rows and of the indexes, after the tables were vacuumed.
select coalesce(p.relname, c.relname) as table, sum(pg_relation_size(c.oid))::bigint as rows_bytes, sum(pg_indexes_size(c.oid))::bigint as index_bytes,
       sum(c.reltuples)::bigint as rows
from pg_class c left join pg_inherits i on i.inhrelid = c.oid left join pg_class p on p.oid = i.inhparent
where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and c.reltuples > 0
group by 1 order by 2 desc

-- name: claimable
select user_id, assignment_id::text from assignment where mission_id = $1 and status = 'COMPLETED' order by assignment_id

-- name: grants
select count(*) from reward_grant
