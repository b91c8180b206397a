-- deploy:compatible expand
-- What an entry says now, for the service; and what the study receives: no synthetic account, nothing deleted.

-- migrate:up
create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 6;

-- With the reader's own rights, so that row-level security holds through it.
create view diary.current_entry with (security_invoker = true) as
select latest.*
from (
    select distinct on (entry_id)
        entry_id, version, account_id, day, body, score, deleted, reason, written_at
    from diary.entry_version
    order by entry_id, version desc
) as latest
where not latest.deleted;

grant select on diary.current_entry to diary_app;

-- With the owner's rights, and granted to nobody here: the export reads all participants.
create view diary.study_export as
select latest.account_id as participant, latest.entry_id, latest.version, latest.day, latest.body, latest.score, latest.written_at
from diary.current_entry as latest
join diary.account on account.id = latest.account_id
where not account.synthetic;

comment on view diary.study_export is 'Entries as they stand, of participants only: accounts flagged synthetic are left out.';

-- migrate:down
drop view diary.study_export;
drop view diary.current_entry;

create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 5;
