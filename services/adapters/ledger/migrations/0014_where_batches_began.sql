-- A worker that was killed after a commit may not have told Redis of it. Whoever goes on reads that batch again, from here.

alter table input_position add column batch_start bigint;
comment on column input_position.batch_start is 'Where the last applied batch began, or the position, where nothing of it is left to tell Redis; null before the first, and after the topic was made anew';
