-- name: counts
select topic, reason, count(*) as letters, count(*) filter (where state = 'open') as open, max(created_at) as newest
from letter
where ($1::text is null or reason = $1) and ($2::text is null or topic = $2)
  and ($3::timestamptz is null or created_at >= $3) and ($4::timestamptz is null or created_at < $4) and ($5::text is null or state = $5)
group by 1, 2 order by 3 desc, 1, 2

-- name: list
select topic, partition, "offset", incarnation, reason, detail, recorded_at, created_at, state, replays, returns, octet_length(value)
from letter
where ($1::text is null or reason = $1) and ($2::text is null or topic = $2)
  and ($3::timestamptz is null or created_at >= $3) and ($4::timestamptz is null or created_at < $4) and ($5::text is null or state = $5)
  and ($7::timestamptz is null or created_at < $7
       or created_at = $7 and (topic, partition, "offset", incarnation) > ($8::text, $9::int, $10::bigint, $11::int))
order by created_at desc, topic, partition, "offset", incarnation limit $6

-- name: show
select topic, partition, "offset", incarnation, reason, detail, recorded_at, created_at, key, value, headers from dead_letter
where topic = $1 and partition = $2 and "offset" = $3 and ($4::int is null or incarnation = $4)
order by incarnation desc limit 1

-- name: history
select h.what, h.at, h.by_whom, h.why, h.at_partition, h.at_offset, h.reason, h.detail, coalesce(p.next_offset > h.at_offset, false)
from dead_letter_history h left join input_position p on p.topic = h.topic and p.partition = h.at_partition
where (h.topic, h.partition, h."offset", h.incarnation) = ($1, $2, $3, $4)
order by h.seq

-- name: next
select topic, partition, "offset", incarnation, reason, detail, recorded_at, created_at, key, value, headers
from letter
where ($1::text is null or reason = $1) and ($2::text is null or topic = $2)
  and ($3::timestamptz is null or created_at >= $3) and ($4::timestamptz is null or created_at < $4) and ($5::text is null or state = $5)
  and ($7::text is null or (topic, partition, "offset", incarnation) > ($7::text, $8::int, $9::bigint, $10::int))
order by topic, partition, "offset", incarnation limit $6

-- name: begin_replay
-- Before anything is published: a copy that comes back at once is written after this line.
with begun as (
    update dead_letter d set replayed_at = now()
    from unnest($1::text[], $2::int[], $3::bigint[], $4::int[]) as n (topic, partition, "offset", incarnation)
    where (d.topic, d.partition, d."offset", d.incarnation) = (n.topic, n.partition, n."offset", n.incarnation)
    returning n.*
)
insert into dead_letter_history (topic, partition, "offset", incarnation, what, by_whom, why)
select topic, partition, "offset", incarnation, 'replayed', $5, $6 from begun
returning seq, topic, partition, "offset", incarnation

-- name: end_replay
update dead_letter_history h set at_partition = n.at_partition, at_offset = n.at_offset
from unnest($1::bigint[], $2::int[], $3::bigint[]) as n (seq, at_partition, at_offset)
where h.seq = n.seq

-- name: purge
delete from dead_letter d using letter l
where (d.topic, d.partition, d."offset", d.incarnation) = (l.topic, l.partition, l."offset", l.incarnation)
  and ($1::text is null or l.reason = $1) and ($2::text is null or l.topic = $2)
  and ($3::timestamptz is null or l.created_at >= $3) and ($4::timestamptz is null or l.created_at < $4)
  and ($5::text is null or l.state = $5)
returning d.topic, d.reason

-- name: purge_one
delete from dead_letter where (topic, partition, "offset", incarnation) = ($1, $2, $3, $4) returning topic, reason
