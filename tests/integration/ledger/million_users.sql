-- A ledger of a million users, and of some of what they did, as narrow as its rows may be: what a planner chooses by is how many there are, and of what.

insert into user_state (user_id, version, stamp, state, next_issue_at, last_active_day)
select 'user-' || n, 1, n, '{}', date_trunc('day', now()) + make_interval(days => n % 3), current_date - n % 30
from generate_series(1, 1000000) as n;

insert into assignment (user_id, mission_id, starts_at, assignment_id, mission_version, expires_at, status, completed_at, claimable_until)
select 'user-' || n, 'mission-' || n % 20, date_trunc('day', now()) - make_interval(days => n % 30), gen_random_uuid(), 1,
       date_trunc('day', now()) + make_interval(days => 1 - n % 30),
       (array['IN_PROGRESS', 'COMPLETED', 'CLAIMED', 'EXPIRED', 'CLAIMED', 'CLAIMED', 'EXPIRED'])[n % 7 + 1], now(), now() + interval '7 days'
from generate_series(1, 400000) as n;

insert into user_question (user_id, question_id, answers, correct_answers, last_correct, last_answered_at, mistake_since, topic_id, chapter_id, language)
select 'user-' || n, 'question-' || n % 500, 1, 1, true, now(), case n % 10 when 0 then now() end, 'topic', 'chapter', 'python'
from generate_series(1, 400000) as n;

insert into event_log (day, source, event_id, user_id, event_type, event_time, recorded_at, topic, partition, "offset", data)
select (now() at time zone 'UTC')::date, 'service', 'event-' || n, 'user-' || n, 'learning.xp-earned.v1', now(), now(), 'learning.xp-earned', n % 12, n, '{}'
from generate_series(1, 400000) as n;

insert into xp_log (user_id, earned_at, amount, origin, xp_source, event_source, event_id)
select 'user-' || n, now(), 10, 'event', 'lesson', 'service', 'event-' || n from generate_series(1, 400000) as n;

insert into user_lesson (user_id, language, lesson_id, chapter_id, unit_id, lesson_type, times, first_completed_at, last_completed_at)
select 'user-' || n, 'python', 'lesson-' || n % 200, 'chapter', 'unit', 'core', 1, now(), now() from generate_series(1, 200000) as n;

insert into user_completion (user_id, language, kind, content_id, completed_at)
select 'user-' || n, 'python', 'chapter', 'chapter-' || n % 50, now() from generate_series(1, 200000) as n;

insert into reward_grant (assignment_id, grant_id, user_id, mission_id, granted_at, rewards)
select gen_random_uuid(), gen_random_uuid(), 'user-' || n, 'mission-' || n % 20, now(), '[]' from generate_series(1, 300000) as n;

insert into claim_answer (user_id, idempotency_key, request_hash, status, body)
select 'user-' || n, 'key', 'hash', 200, '{}' from generate_series(1, 200000) as n;

insert into outbox (partition, message_id, topic, key, payload)
select n % 4, gen_random_uuid(), 'missions.mission-completed', convert_to('user-' || n, 'UTF8'), '{}' from generate_series(1, 100000) as n;

insert into dead_letter (topic, partition, "offset", reason, detail, recorded_at, key, value, headers)
select 'learning.xp-earned', n % 12, n, 'not_json', 'detail', now(), convert_to('user-' || n, 'UTF8'), 'x', '[]' from generate_series(1, 100000) as n;

insert into dead_letter_history (topic, partition, "offset", incarnation, what)
select topic, partition, "offset", incarnation, 'replayed' from dead_letter where "offset" % 10 = 0;

insert into found_published (message_id) select gen_random_uuid() from generate_series(1, 20000);

insert into erased_user (user_id) select 'erased-' || n from generate_series(1, 10000) as n;

insert into operator_action (by_whom, action, subject) select 'ada', 'purge', '{}' from generate_series(1, 10000);

insert into input_position (topic, partition, first_offset, next_offset, applied)
select 'learning.' || t, p, 0, 1000, 1000 from generate_series(1, 6) as t, generate_series(0, 11) as p;

analyze;
