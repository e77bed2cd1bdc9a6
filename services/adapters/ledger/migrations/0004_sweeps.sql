-- Finds completed assignments whose grace is over and whose mission says that they are claimed by themselves.
create index assignment_to_claim on assignment (mission_id, claimable_until) where status = 'COMPLETED';
-- The sweep goes on from where its last chunk ended, and does not walk over what it has ended already.
drop index assignment_to_expire;
create index assignment_to_expire on assignment (expires_at, user_id, mission_id) where status = 'IN_PROGRESS';

create index claim_answer_created_at on claim_answer (created_at);
