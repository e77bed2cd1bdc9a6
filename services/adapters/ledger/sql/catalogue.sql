-- name: revision
select revision from catalogue_revision

-- name: versions
select mission_id, version, definition, published_at from mission_version order by mission_id, version

-- name: lock_revision
select revision from catalogue_revision for update

-- name: newest_versions
select distinct on (mission_id) mission_id, version, definition from mission_version order by mission_id, version desc

-- name: publish
insert into mission_version (mission_id, version, definition) values ($1, $2, $3)

-- name: bump_revision
update catalogue_revision set revision = revision + 1 returning revision
