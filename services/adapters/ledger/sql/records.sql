-- name: log_xp
-- XP events with the source mission_reward repeat what a grant gave; the grant's own row is the one that counts.
insert into xp_log (user_id, earned_at, amount, origin, xp_source, event_source, event_id)
select user_id, earned_at, amount, case xp_source when 'mission_reward' then 'echo' else 'event' end, xp_source, event_source, event_id
from unnest(string_to_array($1, e'\x1f'), $2::timestamptz[], string_to_array($3, ',')::int[], string_to_array($4, e'\x1f'), string_to_array($5, e'\x1f'), string_to_array($6, e'\x1f'))
    as e (user_id, earned_at, amount, xp_source, event_source, event_id)

-- name: record_lessons
-- The same rows in any order of batches: greatest, least and sum know no order. Where a lesson belongs is what the newest
-- completion told; of two at one instant, the greater name.
insert into user_lesson as known (user_id, language, lesson_id, chapter_id, unit_id, lesson_type, times, first_completed_at, last_completed_at, best_accuracy)
select * from unnest(string_to_array($1, e'\x1f'), string_to_array($2, e'\x1f'), string_to_array($3, e'\x1f'), string_to_array($4, e'\x1f'), string_to_array($5, e'\x1f'), string_to_array($6, e'\x1f'), string_to_array($7, ',')::int[],
                     $8::timestamptz[], $9::timestamptz[], $10::float8[])
on conflict (user_id, language, lesson_id) do update set
    chapter_id = case when (excluded.last_completed_at, excluded.chapter_id collate "C") > (known.last_completed_at, known.chapter_id collate "C")
                      then excluded.chapter_id else known.chapter_id end,
    unit_id = case when (excluded.last_completed_at, excluded.unit_id collate "C") > (known.last_completed_at, known.unit_id collate "C")
                   then excluded.unit_id else known.unit_id end,
    lesson_type = case when (excluded.last_completed_at, excluded.lesson_type collate "C") > (known.last_completed_at, known.lesson_type collate "C")
                       then excluded.lesson_type else known.lesson_type end,
    times = known.times + excluded.times,
    first_completed_at = least(known.first_completed_at, excluded.first_completed_at),
    last_completed_at = greatest(known.last_completed_at, excluded.last_completed_at),
    best_accuracy = greatest(known.best_accuracy, excluded.best_accuracy)

-- name: record_completions
-- Answers with those that are new; a row that was there only learns of an earlier time.
insert into user_completion as known (user_id, language, kind, content_id, completed_at)
select * from unnest(string_to_array($1, e'\x1f'), string_to_array($2, e'\x1f'), string_to_array($3, e'\x1f'), string_to_array($4, e'\x1f'), $5::timestamptz[])
on conflict (user_id, language, kind, content_id) do update set completed_at = excluded.completed_at
where excluded.completed_at < known.completed_at
returning user_id, language, kind, content_id, xmax = 0 as is_new

-- name: xp_totals
select coalesce(sum(amount) filter (where origin = 'event'), 0)::bigint as earned, coalesce(sum(amount) filter (where origin = 'grant'), 0)::bigint as granted
from xp_log where user_id = $1

-- name: completed_by_language
select language, sum(lessons)::int as lessons, sum(times)::int as times, sum(chapters)::int as chapters, sum(units)::int as units
from (
    select language, count(*) as lessons, sum(times) as times, 0 as chapters, 0 as units
    from user_lesson where user_id = $1 group by language
    union all
    select language, 0, 0, count(*) filter (where kind = 'chapter'), count(*) filter (where kind = 'unit')
    from user_completion where user_id = $1 group by language
) as counted
group by language order by language
