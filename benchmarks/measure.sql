-- name: create_database
create database {name}

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
-- Rows in the log, and how often each of the other tables was written. A version is one write of a user's row, an answer one of a
-- question's; a batch may fold several into one.
select (select count(*) from event_log) as event_log, (select count(*) from user_state) as users,
       (select coalesce(sum(version), 0)::bigint from user_state) as user_state,
       (select coalesce(sum(answers), 0)::bigint from user_question) as answers,
       (select count(*) from user_question) as questions,
       (select count(*) from assignment) as assignments,
       (select count(*) from assignment where status = 'COMPLETED') as completed,
       (select count(*) from outbox) as outbox

-- name: states
select user_id, state from user_state where user_id = any($1::text[])

-- name: log_of_users
select user_id, count(*) from event_log where user_id = any($1::text[]) group by user_id

-- name: settings
select name, setting from pg_settings where name in ('fsync', 'full_page_writes', 'shared_buffers', 'server_version') order by name
