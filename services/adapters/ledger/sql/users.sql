-- name: claim_assignments
-- Answers with one row for each that was COMPLETED.
update assignment a set status = 'CLAIMED', claimed_at = n.claimed_at
from unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[]) as n (user_id, mission_id, starts_at, claimed_at)
where a.user_id = n.user_id and a.mission_id = n.mission_id and a.starts_at = n.starts_at and a.status = 'COMPLETED'
returning a.assignment_id::text

-- name: insert_grants
-- The XP in them goes into the XP log with them, told by the grants' own reward-granted.
with made as (
    insert into reward_grant (assignment_id, grant_id, user_id, mission_id, granted_at, rewards)
    select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::json[])
    returning grant_id, user_id, granted_at, rewards
)
insert into xp_log (user_id, earned_at, amount, origin, xp_source, event_source, event_id)
select user_id, granted_at, (r ->> 'amount')::int, 'grant', 'mission_reward', 'mission-system', grant_id::text
from made, json_array_elements(rewards) as r
where r ->> 'kind' = 'xp'

-- name: grant_of
select grant_id::text, assignment_id::text, mission_id, granted_at, rewards from reward_grant where assignment_id = $1 and user_id = $2

-- name: grants_of_user
select grant_id::text, assignment_id::text, mission_id, granted_at, rewards from reward_grant
where user_id = $1 and ($2::timestamptz is null or (granted_at, assignment_id) < ($2, $3::uuid))
order by granted_at desc, assignment_id desc limit $4

-- name: reward_totals
select r ->> 'kind' as kind, coalesce(r ->> 'item_id', r ->> 'badge_id', r ->> 'content_id') as what, sum(coalesce((r ->> 'amount')::bigint, 1))::bigint as amount
from reward_grant, json_array_elements(rewards) as r
where user_id = $1 group by 1, 2 order by 1, 2

-- name: claim_answer
select request_hash, status, body from claim_answer where user_id = $1 and idempotency_key = $2

-- name: insert_claim_answer
insert into claim_answer (user_id, idempotency_key, request_hash, status, body) values ($1, $2, $3, $4, $5)
on conflict do nothing returning user_id

-- name: assignments_of_user
-- Newest first; the cursor is the last row of the page before.
select assignment_id::text, mission_id, mission_version, starts_at, expires_at, status, progress, completed_at, claimable_until, claimed_at, fit
from assignment
where user_id = $1 and ($2::timestamptz is null or (starts_at, mission_id) < ($2, $3::text))
order by starts_at desc, mission_id desc limit $4

-- name: assignment_of_user
select assignment_id::text, mission_id, mission_version, starts_at, expires_at, status, progress, completed_at, claimable_until, claimed_at, fit
from assignment where user_id = $1 and assignment_id = $2

-- name: logged_events
-- The day leads to the one partition that can hold the event.
select e.source, e.event_id
from unnest($1::text[], $2::text[], $3::date[]) as w (source, event_id, day)
join event_log e on e.source = w.source and e.event_id = w.event_id and e.day = w.day

-- name: commit_on_disk
set local synchronous_commit = on

-- name: ping
select 1
