-- deploy:compatible expand
-- Why an entry was changed or deleted, in the participant's words. Left out by revisions that do not know it.

-- migrate:up
create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 5;

alter table diary.entry_version add column reason text;

comment on column diary.entry_version.reason is 'Why this version replaces the one before it; null where nobody said.';

-- migrate:down
-- deploy:lossy the reasons go with their column (the audit trail keeps a copy of each)
alter table diary.entry_version drop column reason;

create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 4;
