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
-- Skips what another copy of the sweep has in hand. What is COMPLETED stays claimable.
select user_id, mission_id, starts_at, assignment_id::text, mission_version, expires_at, progress from assignment
where status = 'IN_PROGRESS' and expires_at <= $1 and (expires_at, user_id, mission_id) > ($3, $4, $5)
order by expires_at, user_id, mission_id limit $2
for update skip locked

-- name: users_to_claim_for
-- Users with a completed assignment of these missions that nobody claimed in its grace.
select distinct user_id from assignment
where status = 'COMPLETED' and mission_id = any($1) and claimable_until <= $2 and user_id > $3
order by user_id limit $4

-- name: forget_claim_answers
delete from claim_answer where created_at < $1

-- name: end_assignments
update assignment a set status = 'EXPIRED', expired_at = a.expires_at, progress = n.progress
from unnest($1::text[], $2::text[], $3::timestamptz[], $4::json[]) as n (user_id, mission_id, starts_at, progress)
where a.user_id = n.user_id and a.mission_id = n.mission_id and a.starts_at = n.starts_at

-- name: drop_event_log_days
select drop_event_log_days($1)
