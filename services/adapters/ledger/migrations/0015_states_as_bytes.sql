-- A state as MessagePack has three fifths of the bytes, and Postgres does not read it through as it does JSON. Rows from before stay JSON,
-- as bytes, until they are written the next time; services/missions/state.py reads both. Stop the roles first: older code reads neither.

alter table user_state alter column state type bytea using convert_to(state::text, 'UTF8');
comment on column user_state.state is 'MessagePack, or JSON where it begins with {; services/missions/state.py says of what. `missions user state USER` shows it';
