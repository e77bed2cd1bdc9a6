-- name: lock_positions
-- The row lock is the partition's mutex: a stalled second worker waits here and then finds that the position has moved. The order keeps
-- two workers that lock several partitions from waiting for each other.
select topic, partition, next_offset from input_position
where (topic, partition) in (select * from unnest(string_to_array($1, e'\x1f'), string_to_array($2, ',')::int[]))
order by topic, partition for update

-- name: open_position
insert into input_position (topic, partition, first_offset, next_offset) values ($1, $2, $3, $3)
on conflict do nothing

-- name: advance_positions
update input_position p
set next_offset = n.next_offset, batch_start = n.expected, applied = p.applied + n.applied, unmatched = p.unmatched + n.unmatched, duplicate = p.duplicate + n.duplicate,
    late = p.late + n.late, dead_letter = p.dead_letter + n.dead_letter, unknown = p.unknown + n.unknown, skipped = p.skipped + n.skipped,
    last_record_at = greatest(p.last_record_at, n.last_record_at), updated_at = now()
from unnest(string_to_array($1, e'\x1f'), string_to_array($2, ',')::int[], string_to_array($3, ',')::bigint[], string_to_array($4, ',')::bigint[],
            string_to_array($5, ',')::bigint[], string_to_array($6, ',')::bigint[], string_to_array($7, ',')::bigint[], string_to_array($8, ',')::bigint[],
            string_to_array($9, ',')::bigint[], string_to_array($10, ',')::bigint[], string_to_array($11, ',')::bigint[], $12::timestamptz[])
    as n (topic, partition, expected, next_offset, applied, unmatched, duplicate, late, dead_letter, unknown, skipped, last_record_at)
where p.topic = n.topic and p.partition = n.partition and p.next_offset = n.expected
returning p.topic, p.partition

-- name: positions
select topic, partition, next_offset from input_position
where (topic, partition) in (select * from unnest($1::text[], $2::int[]))

-- name: batch_starts
select topic, partition, batch_start from input_position
where batch_start is not null and (topic, partition) in (select * from unnest($1::text[], $2::int[]))

-- name: settle_positions
-- Nothing is left to tell Redis of what is before these positions: whoever goes on need not read the last batch again.
update input_position p set batch_start = p.next_offset
from unnest($1::text[], $2::int[], $3::bigint[]) as n (topic, partition, next_offset)
where p.topic = n.topic and p.partition = n.partition and p.next_offset = n.next_offset and p.batch_start < p.next_offset

-- name: erasure_mark
select mark from erasure_mark

-- name: erased_users
select user_id from erased_user

-- name: log_events
-- Answers with the places of those that are new; the others are duplicates.
insert into event_log (day, source, event_id, user_id, event_type, event_time, recorded_at, topic, partition, "offset", data)
select (e.event_time at time zone 'UTC')::date, e.source, e.event_id, e.user_id, e.event_type, e.event_time, e.recorded_at, e.topic, e.partition, e."offset", e.data
from unnest(string_to_array($1, e'\x1f'), string_to_array($2, e'\x1f'), string_to_array($3, e'\x1f'), string_to_array($4, e'\x1f'), $5::timestamptz[], $6::timestamptz[],
            string_to_array($7, e'\x1f'), string_to_array($8, ',')::int[], string_to_array($9, ',')::bigint[], string_to_array($10, e'\x1f')::json[])
    as e (source, event_id, user_id, event_type, event_time, recorded_at, topic, partition, "offset", data)
on conflict do nothing
returning topic, partition, "offset"

-- name: load_users
select user_id, state from user_state where user_id = any(string_to_array($1, e'\x1f'))

-- name: lock_users
-- The order keeps two lanes that meet in the same users from waiting for each other.
select user_id, state from user_state where user_id = any(string_to_array($1, e'\x1f')) order by user_id for update

-- name: lock_users_at_once
select user_id from user_state where user_id = any(string_to_array($1, e'\x1f')) order by user_id for update nowait

-- name: moved_users
-- Users whose row is not the one that was read: changed meanwhile, or lost.
select w.user_id from unnest(string_to_array($1, e'\x1f'), string_to_array($2, ',')::bigint[], string_to_array($3, ',')::bigint[]) as w (user_id, version, stamp)
left join user_state u using (user_id)
where u.version is distinct from w.version or u.stamp is distinct from w.stamp

-- name: ended_assignments
-- What the sweep has ended behind the back of the state.
select user_id, assignment_id::text from assignment where user_id = any(string_to_array($1, e'\x1f')) and status = 'EXPIRED' and expired_at > $2

-- name: insert_users
insert into user_state (user_id, version, stamp, state, next_issue_at, last_active_day)
select user_id, version, stamp, state, next_issue_at, date '0001-01-01' + (day - 1)
from unnest(string_to_array($1, e'\x1f'), string_to_array($2, ',')::bigint[], string_to_array($3, ',')::bigint[], $4::bytea[], $5::timestamptz[],
            string_to_array($6, ',', '')::int[]) as n (user_id, version, stamp, state, next_issue_at, day)
on conflict do nothing
returning user_id

-- name: update_users
update user_state u
set version = n.version, stamp = n.stamp, state = n.state, next_issue_at = n.next_issue_at,
    last_active_day = date '0001-01-01' + (n.day - 1), updated_at = now()
from unnest(string_to_array($1, e'\x1f'), string_to_array($2, ',')::bigint[], string_to_array($3, ',')::bigint[], $4::bytea[], $5::timestamptz[],
            string_to_array($6, ',', '')::int[], string_to_array($7, ',')::bigint[])
    as n (user_id, version, stamp, state, next_issue_at, day, stamp_before)
where u.user_id = n.user_id and u.version = n.version - 1 and u.stamp = n.stamp_before
returning u.user_id

-- name: load_questions
select q.user_id, q.question_id, q.answers, q.correct_answers, q.last_correct, q.last_answered_at, q.mistake_since, q.corrected_at,
       q.topic_id, q.chapter_id, q.language, q.recent_answers
from unnest(string_to_array($1, e'\x1f'), string_to_array($2, e'\x1f')) as w (user_id, question_id)
join user_question q using (user_id, question_id)

-- name: insert_questions
-- Answers with the users whose row was as expected; a missing one was changed by somebody else.
insert into user_question (user_id, question_id, answers, correct_answers, last_correct, last_answered_at, mistake_since, corrected_at, topic_id, chapter_id, language, recent_answers)
select user_id, question_id, answers, correct_answers, last_correct, last_answered_at, mistake_since, corrected_at, topic_id, chapter_id, language, recent_answers::bigint[]
from unnest(string_to_array($1, e'\x1f'), string_to_array($2, e'\x1f'), string_to_array($3, ',')::int[], string_to_array($4, ',')::int[], string_to_array($5, ',')::int[]::bool[], $6::timestamptz[], $7::timestamptz[],
            $8::timestamptz[], string_to_array($9, e'\x1f'), string_to_array($10, e'\x1f'), string_to_array($11, e'\x1f'), string_to_array($12, e'\x1f'))
    as n (user_id, question_id, answers, correct_answers, last_correct, last_answered_at, mistake_since, corrected_at, topic_id, chapter_id, language, recent_answers)
on conflict do nothing
returning user_id, question_id

-- name: update_questions
update user_question q
set answers = n.answers, correct_answers = n.correct_answers, last_correct = n.last_correct, last_answered_at = n.last_answered_at,
    mistake_since = n.mistake_since, corrected_at = n.corrected_at, topic_id = n.topic_id, chapter_id = n.chapter_id, language = n.language,
    recent_answers = n.recent_answers::bigint[]
from unnest(string_to_array($1, e'\x1f'), string_to_array($2, e'\x1f'), string_to_array($3, ',')::int[], string_to_array($4, ',')::int[], string_to_array($5, ',')::int[]::bool[], $6::timestamptz[], $7::timestamptz[],
            $8::timestamptz[], string_to_array($9, e'\x1f'), string_to_array($10, e'\x1f'), string_to_array($11, e'\x1f'), string_to_array($12, e'\x1f'), string_to_array($13, ',')::int[])
    as n (user_id, question_id, answers, correct_answers, last_correct, last_answered_at, mistake_since, corrected_at, topic_id, chapter_id, language, recent_answers, answers_before)
where q.user_id = n.user_id and q.question_id = n.question_id and q.answers = n.answers_before
returning q.user_id, q.question_id

-- name: insert_assignments
insert into assignment (user_id, mission_id, starts_at, assignment_id, mission_version, expires_at, fit)
select * from unnest(string_to_array($1, e'\x1f'), string_to_array($2, e'\x1f'), $3::timestamptz[], string_to_array($4, e'\x1f')::uuid[], string_to_array($5, ',')::int[], $6::timestamptz[],
                     string_to_array($7, e'\x1f', '')::json[])
on conflict do nothing

-- name: keep_progress
-- The state forgets these before the sweep has ended them: it finds their progress here.
update assignment a set progress = n.progress
from unnest(string_to_array($1, e'\x1f'), string_to_array($2, e'\x1f'), $3::timestamptz[], string_to_array($4, e'\x1f')::json[]) as n (user_id, mission_id, starts_at, progress)
where a.user_id = n.user_id and a.mission_id = n.mission_id and a.starts_at = n.starts_at and a.status = 'IN_PROGRESS'

-- name: complete_assignments
-- Answers with the users whose assignment was still open; a missing one has been expired by the sweep.
update assignment a
set status = 'COMPLETED', completed_at = n.completed_at, claimable_until = n.claimable_until, progress = n.progress
from unnest(string_to_array($1, e'\x1f'), string_to_array($2, e'\x1f'), $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], string_to_array($6, e'\x1f')::json[])
    as n (user_id, mission_id, starts_at, completed_at, claimable_until, progress)
where a.user_id = n.user_id and a.mission_id = n.mission_id and a.starts_at = n.starts_at and a.status = 'IN_PROGRESS'
returning a.user_id, a.mission_id

-- name: insert_outbox
-- In the order given: a user's messages keep the order in which they were decided.
insert into outbox (partition, message_id, topic, key, payload, headers)
select n.partition, n.message_id, n.topic, n.key, n.payload, n.headers
from unnest(string_to_array($1, ',')::smallint[], string_to_array($2, e'\x1f')::uuid[], string_to_array($3, e'\x1f'), $4::bytea[], $5::bytea[], $6::json[]) with ordinality
    as n (partition, message_id, topic, key, payload, headers, place)
order by n.place

-- name: letter_account
-- Asked only when there are bad records.
select p.incarnation, b.run, b.run_end, b.block, b.block_bad, b.accept_left, b.accept_until
from input_position p left join dead_letter_brake b using (topic, partition)
where p.topic = $1 and p.partition = $2

-- name: return_dead_letters
-- Copies that an operator has sent through again and that are as bad as before: a line in the history of the letter that they are of.
-- Only when they are the very record: a mark is a header, which anybody can write.
insert into dead_letter_history (topic, partition, "offset", incarnation, what, at_partition, at_offset, at_incarnation, reason, detail)
select d.topic, d.partition, d."offset", d.incarnation, 'returned', $2, n.at_offset, $3, n.reason, n.detail
from unnest($4::bigint[], $5::text[], $6::text[], $7::bytea[], $8::bytea[], $9::int[], $10::bigint[], $11::int[])
    as n (at_offset, reason, detail, key, value, partition, "offset", incarnation)
join dead_letter d on d.topic = $1 and (d.partition, d."offset", d.incarnation) = (n.partition, n."offset", n.incarnation)
where d.key is not distinct from n.key and d.value is not distinct from n.value
on conflict do nothing
returning at_offset

-- name: insert_dead_letters
insert into dead_letter (topic, partition, incarnation, "offset", reason, detail, recorded_at, key, value, headers)
select $1, $2, $3, n.* from unnest($4::bigint[], $5::text[], $6::text[], $7::timestamptz[], $8::bytea[], $9::bytea[], $10::json[]) as n
on conflict do nothing

-- name: save_brake
insert into dead_letter_brake (topic, partition, run, run_end, block, block_bad, accept_left, accept_until)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (topic, partition) do update
set run = $3, run_end = $4, block = $5, block_bad = $6, accept_left = $7, accept_until = $8

-- name: stop_partition
-- The position must be where it was judged; a stop that is there already stays.
update input_position set stopped = $3, stop_detail = $4, stopped_at = now()
where topic = $1 and partition = $2 and next_offset = $5 and stopped is null

-- name: commit_without_waiting
set local synchronous_commit = off

-- name: commit_on_disk
set local synchronous_commit = on
