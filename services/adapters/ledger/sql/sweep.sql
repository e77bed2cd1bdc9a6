-- name: users_to_issue
-- Users seen lately whose newest daily period is over.
select user_id from user_state
where next_issue_at <= $1 and last_active_day >= $2 and user_id > $3
order by user_id limit $4

-- name: all_users
select user_id, state from user_state where user_id > $1 order by user_id limit $2

-- name: input_positions
select topic, partition, next_offset, last_record_at from input_position

-- name: overdue_assignments
-- Skips what another copy of the sweep has in hand. Ends here; what is COMPLETED stays claimable.
with overdue as (
    select user_id, mission_id, starts_at from assignment
    where status = 'IN_PROGRESS' and expires_at <= $1
    order by expires_at limit $2
    for update skip locked
)
update assignment a set status = 'EXPIRED', expired_at = a.expires_at
from overdue o
where a.user_id = o.user_id and a.mission_id = o.mission_id and a.starts_at = o.starts_at
returning a.user_id, a.mission_id, a.starts_at, a.assignment_id::text, a.mission_version, a.expires_at

-- name: states_of
select user_id, state from user_state where user_id = any($1)

-- name: write_progress
update assignment a set progress = n.progress
from unnest($1::text[], $2::text[], $3::timestamptz[], $4::json[]) as n (user_id, mission_id, starts_at, progress)
where a.user_id = n.user_id and a.mission_id = n.mission_id and a.starts_at = n.starts_at

-- name: old_event_log_partitions
select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'event_log'::regclass and c.relname < $1 order by 1

-- name: drop_event_log_partition
drop table if exists {name}
