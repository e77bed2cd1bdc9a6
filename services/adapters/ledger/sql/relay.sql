-- name: begin_lane
-- Every commit of the lane waits for the disk. A host that vanishes without closing its connection is noticed within 20 s,
-- or its lock would keep the lane closed for hours. The kernel of one that is only frozen answers for it: such a session is
-- ended when it has asked nothing for $1 milliseconds, in a transaction or not, has stopped between the messages of one
-- statement (which counts as a transaction, and as no idleness), or has read no answer for as long.
select set_config('synchronous_commit', 'on', false), set_config('tcp_keepalives_idle', '5', false),
       set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false),
       set_config('idle_session_timeout', $1, false), set_config('idle_in_transaction_session_timeout', $1, false),
       set_config('transaction_timeout', $1, false), set_config('tcp_user_timeout', $1, false)

-- name: try_lock
select pg_try_advisory_lock($1, $2)

-- name: open_checkpoints
insert into relay_checkpoint (topic, partition, next_offset) select topic, $2, 0 from unnest($1::text[]) as t (topic)
on conflict do nothing

-- name: checkpoints
select topic, next_offset from relay_checkpoint where topic = any($1) and partition = $2

-- name: pending
-- The running sum stops a few big messages from filling the memory; the first message always comes, whatever its size.
select seq, message_id::text, topic, key, payload, headers,
       exists (select from found_published f where f.message_id = waiting.message_id)
from (
    select seq, message_id, topic, key, payload, headers,
           sum(bytes) over (order by seq) - bytes as bytes_before
    from (
        select *, coalesce(octet_length(payload), 0) + coalesce(octet_length(key), 0) + coalesce(pg_column_size(headers), 0) as bytes
        from outbox where partition = $1 and topic = any($2)
    ) as sized
    order by seq limit $3
) as waiting
where bytes_before < $4
order by seq

-- name: bind_topics
update relay_checkpoint c set topic_id = n.topic_id
from unnest($1::text[], $3::uuid[]) as n (topic, topic_id)
where c.topic = n.topic and c.partition = $2 and c.topic_id is null

-- name: other_topics
select c.topic from relay_checkpoint c join unnest($1::text[], $3::uuid[]) as n (topic, topic_id) using (topic)
where c.partition = $2 and c.topic_id <> n.topic_id

-- name: advance_checkpoints
-- Answers with the topics whose checkpoint was where it was expected.
update relay_checkpoint c set next_offset = n.next_offset
from unnest($1::text[], $3::bigint[], $4::bigint[]) as n (topic, expected, next_offset)
where c.topic = n.topic and c.partition = $2 and c.next_offset = n.expected
returning c.topic

-- name: delete_published
delete from outbox where partition = $1 and seq = any($2)

-- name: delete_found
delete from outbox where partition = $1 and message_id = any($2::uuid[]) returning message_id::text

-- name: keep_found
-- In one order, because lanes that share a partition of a topic in may find the same ids at once.
insert into found_published (message_id) select unnest($1::uuid[]) order by 1 on conflict do nothing

-- name: forget_found
delete from found_published where found_at < clock_timestamp() - $1::interval

-- name: backlog
-- Counting stops at $2: beyond it only the size of the trouble matters, and counting would add to it.
select (select count(*) from (select from outbox limit $2) as counted) as pending,
       (select min(head.created_at)
        from generate_series(0, $1 - 1) as p (partition)
        cross join lateral (
            select created_at from outbox o where o.partition = p.partition order by seq limit 1
        ) as head) as oldest

-- name: highest_partition
select max(partition) from outbox

-- name: waits_for
select exists (select from outbox where topic = $1)
