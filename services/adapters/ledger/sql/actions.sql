-- name: record
insert into operator_action (by_whom, why, action, subject) values ($1, $2, $3, $4)
