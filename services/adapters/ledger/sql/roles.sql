-- name: existing_roles
select rolname from pg_roles where rolname = any($1)

-- name: create_role
create role {role} nologin

-- name: allow_login
alter role {role} login

-- name: allow_login_with_password
-- The password is quoted by the server: a statement like this takes no parameters.
select format('alter role %I login password %L', $1::text, $2::text)

-- name: tables
-- The ledger's own tables and views; a partition is reached through its parent alone.
select c.relname from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition

-- name: functions
select p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' from pg_proc p
where p.pronamespace = 'public'::regnamespace and p.prosecdef

-- name: open_schema
grant usage on schema public to {role}

-- name: revoke_table
revoke all on {name} from {role}

-- name: grant_table
grant {privileges} on {name} to {role}

-- name: revoke_function
revoke all on function {name} from public, {role}

-- name: grant_function
grant execute on function {name} to {role}
