-- What a user has learnt and earned, for good: the XP log, and the lessons, chapters and units completed.

-- XPLogs: one row for each event that earned XP and for each XP reward that was granted; rows are only ever added. The event log and
-- the key of reward_grant keep them single, so the key here need not: it makes one user's XP one stretch of the index, in order
-- of time, and a total is read from the index alone.
create table xp_log (
    user_id      text not null,
    earned_at    timestamptz not null,
    entry        bigint generated always as identity,
    amount       integer not null,
    origin       text not null check (origin in ('event', 'grant', 'echo')),
    xp_source    text not null,
    event_source text not null,
    event_id     text not null,
    primary key (user_id, earned_at, entry) include (amount, origin)
);
comment on column xp_log.origin is 'event: earned, as an event told; grant: granted by a claim; echo: an event that repeats a grant, in no total';
comment on column xp_log.event_source is 'With event_id the event that told it; of a grant our own reward-granted, whose id is the grant''s';

-- One row a lesson that a user has completed, ever. Room is left in each page: doing a lesson again touches no index.
create table user_lesson (
    user_id            text not null,
    language           text not null,
    lesson_id          text not null,
    chapter_id         text not null,
    unit_id            text not null,
    lesson_type        text not null,
    times              integer not null,
    first_completed_at timestamptz not null,
    last_completed_at  timestamptz not null,
    best_accuracy      double precision,
    primary key (user_id, language, lesson_id)
) with (fillfactor = 85);
comment on column user_lesson.chapter_id is 'As the newest completion told; so are unit_id and lesson_type';

-- One row a chapter and a unit that a user has completed: a lesson came with a progress of 1.
create table user_completion (
    user_id      text not null,
    language     text not null,
    kind         text not null check (kind in ('chapter', 'unit')),
    content_id   text not null,
    completed_at timestamptz not null,
    primary key (user_id, language, kind, content_id)
);

-- What is known already: grants of all time, and events as far back as the event log goes.
insert into xp_log (user_id, earned_at, amount, origin, xp_source, event_source, event_id)
select user_id, event_time, (data ->> 'amount')::int, case data ->> 'xp_source' when 'mission_reward' then 'echo' else 'event' end,
       data ->> 'xp_source', source, event_id
from event_log where event_type = 'learning.xp-earned.v1'
order by user_id, event_time;

insert into xp_log (user_id, earned_at, amount, origin, xp_source, event_source, event_id)
select user_id, granted_at, (r ->> 'amount')::int, 'grant', 'mission_reward', 'mission-system', grant_id::text
from reward_grant, json_array_elements(rewards) as r
where r ->> 'kind' = 'xp';

insert into user_lesson
select user_id, data ->> 'language', data ->> 'lesson_id',
       (array_agg(data ->> 'chapter_id' order by event_time desc))[1], (array_agg(data ->> 'unit_id' order by event_time desc))[1],
       (array_agg(data ->> 'lesson_type' order by event_time desc))[1],
       count(*), min(event_time), max(event_time), max((data ->> 'accuracy')::float8)
from event_log where event_type = 'learning.lesson-completed.v1'
group by 1, 2, 3;

insert into user_completion
select user_id, data ->> 'language', kind, data ->> (kind || '_id'), min(event_time)
from event_log, unnest(array['chapter', 'unit']) as kind
where event_type = 'learning.lesson-completed.v1' and (data ->> (kind || '_progress'))::float8 >= 1
group by 1, 2, 3, 4;

-- The users' own counts of them. Their versions move on, so that the projection's copies are not built upon.
update user_state u
set version = u.version + 1,
    state = (u.state::jsonb || jsonb_build_object('version', u.version + 1, 'chapters_completed', c.chapters, 'units_completed', c.units))::json
from (
    select user_id, count(*) filter (where kind = 'chapter') as chapters, count(*) filter (where kind = 'unit') as units
    from user_completion group by user_id
) as c
where c.user_id = u.user_id;
