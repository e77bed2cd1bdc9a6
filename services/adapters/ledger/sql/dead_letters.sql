-- name: list
select topic, partition, "offset", reason, detail, recorded_at, created_at, replayed_at from dead_letter
where ($1::text is null or reason = $1) and ($2::text is null or topic = $2)
order by created_at desc, topic, partition, "offset" limit $3

-- name: counts
select topic, reason, count(*) as letters, max(created_at) as newest from dead_letter group by 1, 2 order by 3 desc, 1, 2

-- name: show
select topic, partition, "offset", reason, detail, recorded_at, key, value, headers from dead_letter
where topic = $1 and partition = $2 and "offset" = $3

-- name: mark_replayed
update dead_letter set replayed_at = now() where topic = $1 and partition = $2 and "offset" = $3
