-- Days of the event log are made and dropped by functions of the ledger's owner, so that no service needs to change the schema.
-- They run with the owner's rights: the search path is theirs, and the names of what they touch are made from dates here.

create function make_event_log_day(day date) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    execute format('create table if not exists public.%I partition of public.event_log for values from (%L) to (%L)',
                   'event_log_' || to_char(day, 'YYYYMMDD'), day, day + 1);
end $$;

create function drop_event_log_days(before date) returns setof text
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    name text;
begin
    for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'public.event_log'::regclass and c.relname < 'event_log_' || to_char(before, 'YYYYMMDD') order by 1
    loop
        execute format('drop table if exists public.%I', name);
        return next name;
    end loop;
end $$;

revoke execute on function make_event_log_day(date), drop_event_log_days(date) from public;
