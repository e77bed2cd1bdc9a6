-- Finds completed assignments whose grace is over and whose mission says that they are claimed by themselves.
-- Both indexes leave out what can never be due, and by that no plan for a key of the table can choose them: a plan made while
-- the table was empty would, and would then walk every open assignment for each row of a batch.
create index assignment_to_claim on assignment (mission_id, claimable_until) where status = 'COMPLETED' and claimable_until is not null;

-- The sweep goes on from where its last chunk ended, and does not walk over what it has ended already.
drop index assignment_to_expire;
create index assignment_to_expire on assignment (expires_at, user_id, mission_id) where status = 'IN_PROGRESS' and expires_at is not null;

create index claim_answer_created_at on claim_answer (created_at);
