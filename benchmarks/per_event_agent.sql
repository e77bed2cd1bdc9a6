-- name: log_event
insert into event_log (day, source, event_id, user_id, event_type, event_time, recorded_at, topic, partition, "offset", data)
values (($5::timestamptz at time zone 'UTC')::date, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict do nothing
returning "offset"

-- name: load_user
select state from user_state where user_id = $1

-- name: insert_user
insert into user_state (user_id, version, stamp, state, next_issue_at, last_active_day) values ($1, $2, $3, $4, $5, $6)
on conflict do nothing
returning true

-- name: update_user
update user_state set version = $2, stamp = $3, state = $4, next_issue_at = $5, last_active_day = $6, updated_at = now()
where user_id = $1 and version = $2 - 1 and stamp = $7
returning true

-- name: load_question
select user_id, question_id, answers, correct_answers, last_correct, last_answered_at, mistake_since, corrected_at, topic_id, chapter_id, language, recent_answers
from user_question where user_id = $1 and question_id = $2

-- name: insert_question
insert into user_question (user_id, question_id, answers, correct_answers, last_correct, last_answered_at, mistake_since, corrected_at, topic_id, chapter_id, language, recent_answers)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict do nothing
returning true

-- name: update_question
update user_question
set answers = $3, correct_answers = $4, last_correct = $5, last_answered_at = $6, mistake_since = $7, corrected_at = $8, topic_id = $9,
    chapter_id = $10, language = $11, recent_answers = $12
where user_id = $1 and question_id = $2 and answers = $13
returning true
