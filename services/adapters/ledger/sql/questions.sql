-- name: history_of_user
-- A bounded part of a user's history by the primary key: from one question id on, then from the first one. A user with no more
-- rows than the limit has all of them in it. And open mistakes by their index: the newest and the oldest.
with around as (
    (select q.* from user_question q where q.user_id = $1 and q.question_id >= $2 order by q.question_id limit $3)
    union all
    (select q.* from user_question q where q.user_id = $1 and q.question_id < $2 order by q.question_id limit $3)
    limit $3
), newest_mistakes as (
    select q.* from user_question q where q.user_id = $1 and q.mistake_since is not null order by q.mistake_since desc limit $4
), oldest_mistakes as (
    select q.* from user_question q where q.user_id = $1 and q.mistake_since is not null order by q.mistake_since limit $4
)
select user_id, question_id, answers, correct_answers, last_correct, last_answered_at, mistake_since, corrected_at,
       topic_id, chapter_id, language, recent_answers
from (table around union all table newest_mistakes union all table oldest_mistakes) as found

-- name: questions_of_user
select q.user_id, q.question_id, q.answers, q.correct_answers, q.last_correct, q.last_answered_at, q.mistake_since, q.corrected_at,
       q.topic_id, q.chapter_id, q.language, q.recent_answers
from unnest($2::text[]) as w (question_id)
join user_question q on q.user_id = $1 and q.question_id = w.question_id
