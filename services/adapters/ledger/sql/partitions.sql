-- name: stops
select topic, partition, stopped, stop_detail, stopped_at, next_offset from input_position
where stopped is not null order by topic, partition

-- name: list
select topic, partition, incarnation, next_offset, next_offset - first_offset as accounted, dead_letter, lost, updated_at, stopped
from input_position order by topic, partition

-- name: accounts
select topic, partition, topic_id, stopped, stop_detail, stopped_at, next_offset from input_position
where (topic, partition) in (select * from unnest($1::text[], $2::int[]))

-- name: open_account
insert into input_position (topic, partition, first_offset, next_offset, topic_id) values ($1, $2, $3, $3, $4)
on conflict (topic, partition) do update set topic_id = excluded.topic_id where input_position.topic_id is null

-- name: stop
-- Only where it was judged; a stop that is there already stays.
update input_position set stopped = $3, stop_detail = $4, stopped_at = now()
where topic = $1 and partition = $2 and next_offset = $5 and stopped is null

-- name: note_loss
insert into data_loss (topic, partition, incarnation, from_offset, to_offset)
select topic, partition, incarnation, next_offset, $4 from input_position
where topic = $1 and partition = $2 and next_offset = $3
on conflict (topic, partition, incarnation, from_offset) do update set to_offset = greatest(data_loss.to_offset, excluded.to_offset)

-- name: accept_losses
-- Moves the position behind the losses that begin at it. Answers with how many records that were.
with loss as (
    update data_loss l set accepted_at = now() from input_position p
    where p.topic = $1 and p.partition = $2 and (l.topic, l.partition, l.incarnation) = (p.topic, p.partition, p.incarnation)
      and l.from_offset = p.next_offset and l.accepted_at is null
    returning l.to_offset - l.from_offset as records
)
update input_position p set next_offset = next_offset + loss.records, lost = lost + loss.records, updated_at = now()
from loss where p.topic = $1 and p.partition = $2
returning loss.records

-- name: lock_stop
select topic, partition, stopped, stop_detail, stopped_at, next_offset from input_position
where topic = $1 and partition = $2 and stopped is not null for update

-- name: resume
update input_position set stopped = null, stop_detail = null, stopped_at = null where topic = $1 and partition = $2

-- name: accept
-- The brake's row was written when it stopped the partition.
update dead_letter_brake set accept_left = $3, accept_until = greatest(accept_until, $4) where topic = $1 and partition = $2

-- name: lock_topic
select partition, next_offset, topic_id, stopped from input_position where topic = $1 order by partition for update

-- name: close_account
insert into closed_position (topic, partition, first_offset, next_offset, applied, unmatched, duplicate, late, dead_letter, unknown,
    skipped, lost, last_record_at, updated_at, incarnation, stopped, stop_detail, stopped_at, topic_id)
select topic, partition, first_offset, next_offset, applied, unmatched, duplicate, late, dead_letter, unknown,
    skipped, lost, last_record_at, updated_at, incarnation, stopped, stop_detail, stopped_at, topic_id
from input_position where topic = $1 and partition = $2

-- name: restart_account
update input_position
set first_offset = $3, next_offset = $3, applied = 0, unmatched = 0, duplicate = 0, late = 0, dead_letter = 0, unknown = 0, skipped = 0,
    lost = 0, last_record_at = null, updated_at = now(), incarnation = incarnation + 1, topic_id = $4,
    stopped = null, stop_detail = null, stopped_at = null, batch_start = null
where topic = $1 and partition = $2

-- name: delete_account
delete from input_position where topic = $1 and partition = $2

-- name: forget_brake
delete from dead_letter_brake where topic = $1 and partition = $2

-- name: restart_output
update relay_checkpoint set topic_id = $2, next_offset = 0 where topic = $1 and topic_id <> $2 returning partition

-- name: other_output
select partition from relay_checkpoint where topic = $1 and topic_id <> $2 order by partition
