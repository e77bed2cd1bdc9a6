-- name: register
insert into erased_user (user_id) values ($1) on conflict do nothing

-- name: set_mark
update erasure_mark set mark = $1

-- name: erased_at
select erased_at from erased_user where user_id = $1

-- name: next_transaction
select pg_snapshot_xmax(pg_current_snapshot())::text

-- name: older_have_ended
-- Whether every transaction that had written before `$1` has ended.
select pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8

-- name: export_snapshot
set transaction isolation level repeatable read, read only

-- name: columns_of_users
-- Every table with a column that names a user, for the test that none is forgotten.
select distinct c.table_name from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
where c.table_schema = 'public' and t.table_type = 'BASE TABLE' and c.column_name in ('user_id', 'key')

-- name: export_state
select state from user_state where user_id = $1

-- name: export_assignments
select to_json(t) from (select * from assignment where user_id = $1 order by starts_at, mission_id) t

-- name: erase_assignments
delete from assignment where ctid = any(array(select ctid from assignment where user_id = $1 limit $2))

-- name: export_grants
select to_json(t) from (select * from reward_grant where user_id = $1 order by granted_at, assignment_id) t

-- name: erase_grants
delete from reward_grant where ctid = any(array(select ctid from reward_grant where user_id = $1 limit $2))

-- name: export_claim_answers
select to_json(t) from (select * from claim_answer where user_id = $1 order by created_at) t

-- name: erase_claim_answers
delete from claim_answer where ctid = any(array(select ctid from claim_answer where user_id = $1 limit $2))

-- name: export_xp
select to_json(t) from (select * from xp_log where user_id = $1 order by earned_at, entry) t

-- name: erase_xp
delete from xp_log where ctid = any(array(select ctid from xp_log where user_id = $1 limit $2))

-- name: export_lessons
select to_json(t) from (select * from user_lesson where user_id = $1 order by language, lesson_id) t

-- name: erase_lessons
delete from user_lesson where ctid = any(array(select ctid from user_lesson where user_id = $1 limit $2))

-- name: export_completions
select to_json(t) from (select * from user_completion where user_id = $1 order by language, kind, content_id) t

-- name: erase_completions
delete from user_completion where ctid = any(array(select ctid from user_completion where user_id = $1 limit $2))

-- name: export_questions
select to_json(t) from (select * from user_question where user_id = $1 order by question_id) t

-- name: erase_questions
delete from user_question where ctid = any(array(select ctid from user_question where user_id = $1 limit $2))

-- name: export_events
-- The log has no index by user, which every event would pay for: a day is read from end to end.
select to_json(t) from (select * from event_log where day = $2 and user_id = $1 order by recorded_at, "offset") t

-- name: erase_events
delete from event_log where day = $3 and ctid = any(array(select ctid from event_log where day = $3 and user_id = $1 limit $2))

-- name: export_dead_letters
-- By the key, and by the id as a JSON string in the value: a bad record need not have the right key.
select to_json(t) from (
    select topic, partition, "offset", incarnation, reason, detail, recorded_at, created_at, replayed_at,
           encode(key, 'escape') as key, encode(value, 'escape') as value, headers
    from dead_letter
    where key = convert_to($1, 'UTF8') or position(convert_to('"' || $1 || '"', 'UTF8') in value) > 0
    order by topic, partition, "offset", incarnation
) t

-- name: erase_dead_letters
-- What happened to a letter since goes with it.
delete from dead_letter where ctid = any(array(
    select ctid from dead_letter
    where key = convert_to($1, 'UTF8') or position(convert_to('"' || $1 || '"', 'UTF8') in value) > 0 limit $2
))

-- name: export_unpublished
select to_json(t) from (
    select topic, message_id, created_at, encode(payload, 'escape') as payload from outbox where key = convert_to($1, 'UTF8') order by seq
) t

-- name: count_unpublished
select count(*) from outbox where key = convert_to($1, 'UTF8')
