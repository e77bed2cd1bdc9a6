-- The life of a mission: drafts, the state of each published version, and who changed what.

alter table mission_version
    add column state text not null default 'published' check (state in ('published', 'paused', 'ended', 'replaced')),
    add column published_by text;
comment on column mission_version.state is 'Of the newest version: whether the mission is issued. Older ones are replaced.';

update mission_version as older set state = 'replaced'
where exists (select from mission_version as newer where newer.mission_id = older.mission_id and newer.version > older.version);

create unique index mission_version_current on mission_version (mission_id) where state <> 'replaced';

-- Assignments refer to a version for ever, so it stays as it was published.
create function keep_published_version() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and (old.mission_id, old.version, old.published_at) = (new.mission_id, new.version, new.published_at)
        and old.definition::text = new.definition::text then
        return new;
    end if;
    raise exception 'version % of mission % is published and never changes: publish a new version', old.version, old.mission_id;
end $$;

create trigger keep_published_version before update or delete on mission_version
    for each row execute function keep_published_version();

-- At most one draft a mission: its first version, or a change to the newest one. Nobody but its authors sees it.
create table mission_draft (
    mission_id text primary key,
    definition json not null,
    changed_at timestamptz not null default now(),
    changed_by text not null
);

-- Who did what to which mission, when and why. Rows are only ever added.
create table mission_change (
    seq        bigint generated always as identity primary key,
    mission_id text not null,
    action     text not null,
    version    integer,
    from_state text,
    to_state   text,
    changed_by text not null,
    changed_at timestamptz not null default now(),
    reason     text,
    definition json
);
comment on column mission_change.version is 'The version that changed; null for a draft, which has none yet';
comment on column mission_change.definition is 'The draft as it was left, or the version as it was published';
create index mission_change_mission on mission_change (mission_id, seq);

create function keep_mission_change() returns trigger language plpgsql as $$
begin
    raise exception 'the record of mission changes is only added to';
end $$;

create trigger keep_mission_change before update or delete on mission_change
    for each row execute function keep_mission_change();
