-- name: signed_in
select current_user, (select version from pg_stat_ssl where pid = pg_backend_pid() and ssl)
