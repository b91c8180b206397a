-- deploy:compatible expand
-- Diary entries. Nothing is overwritten: a change is a new version, a deletion is a new version that says so.

-- migrate:up
-- deploy:accept prefer-bigint-over-smallint: a score is 0 to 10 by the questionnaire's definition

create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 3;

create table diary.entry (
    id uuid primary key default gen_random_uuid(),
    account_id uuid not null references diary.account (id),
    created_at timestamptz not null default now(),
    unique (id, account_id)
);

create index entry_account on diary.entry (account_id);

create table diary.entry_version (
    entry_id uuid not null,
    version bigint not null check (version >= 1),
    account_id uuid not null,
    day date not null,
    body text not null check (char_length(body) between 1 and 4000),
    score smallint not null check (score between 0 and 10),
    deleted boolean not null default false,
    written_at timestamptz not null default now(),
    primary key (entry_id, version),
    foreign key (entry_id, account_id) references diary.entry (id, account_id),
    check (version > 1 or not deleted)
);

create index entry_version_account_day on diary.entry_version (account_id, day);

-- A version follows the one before it, and nothing follows a deletion. Two writers at once meet in the primary key.
create function diary.follow_version() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    latest record;
begin
    select version, deleted into latest
    from diary.entry_version
    where entry_id = new.entry_id
    order by version desc
    limit 1;
    if latest.deleted then
        raise exception 'entry % is deleted', new.entry_id using errcode = 'check_violation';
    end if;
    if new.version <> coalesce(latest.version, 0) + 1 then
        raise exception 'version % of entry % does not follow version %',
            new.version, new.entry_id, coalesce(latest.version, 0) using errcode = 'check_violation';
    end if;
    return new;
end
$$;

create trigger follow_version before insert on diary.entry_version
    for each row execute function diary.follow_version();

create function diary.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '%.% is append-only: % is refused', tg_table_schema, tg_table_name, tg_op
        using errcode = 'insufficient_privilege';
end
$$;

-- Rows already written stay as they are, for the tables' owner too.
create trigger append_only before update or delete or truncate on diary.entry_version
    for each statement execute function diary.refuse_change();

alter table diary.entry enable row level security;
alter table diary.entry_version enable row level security;

create policy own_entries on diary.entry to diary_app
    using (account_id = (select diary.current_account()))
    with check (account_id = (select diary.current_account()));

create policy own_versions on diary.entry_version to diary_app
    using (account_id = (select diary.current_account()))
    with check (account_id = (select diary.current_account()));

grant select, insert on diary.entry, diary.entry_version to diary_app;

-- migrate:down
-- deploy:lossy every diary entry goes with its tables
drop table diary.entry_version;
drop table diary.entry;
drop function diary.refuse_change();
drop function diary.follow_version();

create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 2;
