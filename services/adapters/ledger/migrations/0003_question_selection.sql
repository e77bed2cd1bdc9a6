-- What the question selector reads of a user's history.

alter table user_question add column recent_answers bigint[] not null default '{}';
comment on column user_question.recent_answers is
    'The newest answers, oldest first, each as twice its second since 1970, plus one if it was right (services/missions/history.py)';

-- Open mistakes only: an answer touches it when it makes a mistake or mends one.
create index user_question_mistake on user_question (user_id, mistake_since) where mistake_since is not null;
