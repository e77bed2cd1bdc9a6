-- Ids that the relay found in Kafka and not in the outbox: a ledger that lost its newest commits had them there once, and will
-- have them there again when it has applied the same events again. They are not published a second time.
create table found_published (
    message_id uuid primary key,
    found_at   timestamptz not null default clock_timestamp()
);
