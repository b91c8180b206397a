-- deploy:compatible contract
-- A diary day before 2000 is a typing error. A revision from before this one that accepts such a day is refused by the table.

-- migrate:up
-- deploy:accept constraint-missing-not-valid: the table is read once under the lock; a diary of some thousand rows takes milliseconds

create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 7;

alter table diary.entry_version add constraint plausible_day check (day >= date '2000-01-01');

-- migrate:down
alter table diary.entry_version drop constraint plausible_day;

create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 6;
