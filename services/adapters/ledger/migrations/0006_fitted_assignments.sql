-- How a mission was fitted to its user when it was issued: what the past of a user is shown with, and what support asks for.

alter table assignment add column fit json;
comment on column assignment.fit is
    'null: issued as written. Else reason, wanted, target, instead_of: the target frozen at issue, and the mission whose place it takes';
