-- deploy:compatible expand
-- Log-in: sessions that expire, kept by the hash of their token, and the two questions asked before anybody is known.

-- migrate:up
create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 2;

create table diary.session (
    id uuid primary key default gen_random_uuid(),
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    account_id uuid not null references diary.account (id),
    started_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    check (expires_at > started_at)
);

create index session_account on diary.session (account_id);

comment on column diary.session.token_hash is 'SHA-256 of the bearer token; the token itself is stored nowhere.';

alter table diary.session enable row level security;

create policy own_sessions on diary.session to diary_app
    using (account_id = (select diary.current_account()))
    with check (account_id = (select diary.current_account()));

grant select, insert, update (ended_at) on diary.session to diary_app;

-- These two run with the owner's rights, because row-level security shows nothing to a caller who is nobody yet.
create function diary.account_for_login(wanted text)
    returns table (id uuid, password_hash text)
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
    begin atomic
        select account.id, account.password_hash from diary.account where account.username = wanted;
    end;

create function diary.session_account(token_sha256 bytea) returns uuid
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
    begin atomic
        select session.account_id
        from diary.session
        where session.token_hash = token_sha256 and session.ended_at is null and session.expires_at > now();
    end;

revoke execute on function diary.account_for_login(text), diary.session_account(bytea) from public;
grant execute on function diary.account_for_login(text), diary.session_account(bytea) to diary_app;

-- migrate:down
-- deploy:lossy the sessions go with their table: everybody has to log in again
drop function diary.session_account(bytea);
drop function diary.account_for_login(text);
drop table diary.session;

create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 1;
