-- name: revision
select revision from catalogue_revision

-- name: versions
select mission_id, version, definition, state from mission_version order by mission_id, version

-- name: lock_revision
select revision from catalogue_revision for update

-- name: bump_revision
update catalogue_revision set revision = revision + 1 returning revision

-- name: newest_versions
select mission_id, version, state, definition, published_at, published_by from mission_version where state <> 'replaced'

-- name: newest_version
select mission_id, version, state, definition, published_at, published_by from mission_version
where mission_id = $1 and state <> 'replaced'

-- name: replace
update mission_version set state = 'replaced' where mission_id = $1 and state <> 'replaced'

-- name: publish
insert into mission_version (mission_id, version, definition, state, published_by) values ($1, $2, $3, $4, $5)

-- name: set_state
update mission_version set state = $2 where mission_id = $1 and state <> 'replaced'

-- name: record
insert into mission_change (mission_id, action, version, from_state, to_state, changed_by, reason, definition)
values ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: draft
select mission_id, definition, changed_at, changed_by from mission_draft where mission_id = $1

-- name: drafts
select mission_id, definition, changed_at, changed_by from mission_draft order by mission_id

-- name: save_draft
insert into mission_draft (mission_id, definition, changed_by) values ($1, $2, $3)
on conflict (mission_id) do update set definition = excluded.definition, changed_by = excluded.changed_by, changed_at = now()

-- name: drop_draft
delete from mission_draft where mission_id = $1

-- name: list
select coalesce(v.mission_id, d.mission_id) as mission_id, v.version, coalesce(v.state, 'draft') as state,
       coalesce(v.definition, d.definition) as definition, v.published_at, v.published_by, d.mission_id is not null as has_draft
from (select * from mission_version where state <> 'replaced') as v
full join mission_draft as d on d.mission_id = v.mission_id
where ($1::text is null or coalesce(v.mission_id, d.mission_id) > $1)
  and ($2::text is null or v.state = $2 or ($2 = 'draft' and d.mission_id is not null))
  and ($3::text is null or coalesce(v.definition, d.definition) ->> 'type' = $3)
order by 1
limit $4

-- name: versions_of
select mission_id, version, state, definition, published_at, published_by from mission_version
where mission_id = $1 order by version desc

-- name: changes_of
select action, version, from_state, to_state, changed_by, changed_at, reason from mission_change
where mission_id = $1 order by seq desc limit $2
