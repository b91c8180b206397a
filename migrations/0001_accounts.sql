-- deploy:compatible expand
-- Participants' accounts, the role that the service acts in, and the number by which it knows the schema.

-- migrate:up
create schema diary;

-- Roles belong to the whole cluster: another database's migration may have made this one, or be making it now.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'diary_app') then
        create role diary_app nologin;
    end if;
exception
    when duplicate_object or unique_violation then null;
end
$$;

grant usage on schema diary to diary_app;

-- Each migration raises this number, each down lowers it: it holds whichever tool keeps the history.
create function diary.schema_version() returns integer
    language sql stable parallel safe
    return 1;

-- Whom the service acts for. It says so once in each transaction: set_config('app.account', <uuid>, true).
create function diary.current_account() returns uuid
    language sql stable parallel safe
    return nullif(current_setting('app.account', true), '')::uuid;

create table diary.account (
    id uuid primary key default gen_random_uuid(),
    username text not null unique check (char_length(username) between 1 and 128),
    password_hash text not null,
    synthetic boolean not null default false,
    created_at timestamptz not null default now()
);

comment on column diary.account.synthetic is 'Made by a deployment check, not a participant: study exports leave it out.';

alter table diary.account enable row level security;

create policy own_account on diary.account for select to diary_app
    using (id = (select diary.current_account()));

-- Not the password's hash: log-in reads that through a function of its own.
grant select (id, username, synthetic, created_at) on diary.account to diary_app;

-- migrate:down
-- deploy:lossy the accounts go with their table
drop table diary.account;
drop function diary.current_account();
drop function diary.schema_version();
drop schema diary;
-- The role stays: other databases of the cluster may use it.
