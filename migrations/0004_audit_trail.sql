-- deploy:compatible expand
-- The audit trail: who, when, what it was and what it became. Triggers write it; nobody, not its owner, rewrites it.

-- migrate:up
create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 4;

-- No foreign keys: what the trail says outlives what it speaks of.
create table diary.audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor uuid default diary.current_account(),
    db_user text not null default session_user,
    action text not null check (action in ('create', 'update', 'delete')),
    subject text not null,
    subject_id uuid not null,
    account_id uuid not null,
    old jsonb,
    new jsonb
);

create index audit_subject on diary.audit (subject_id);
create index audit_account on diary.audit (account_id);

comment on column diary.audit.actor is 'The account that was logged in; null for an operator, whom db_user names.';

create trigger append_only before update or delete or truncate on diary.audit
    for each statement execute function diary.refuse_change();

alter table diary.audit enable row level security;

create policy own_trail on diary.audit for select to diary_app
    using (account_id = (select diary.current_account()));

-- Reading only: the triggers' functions insert with the owner's rights.
grant select on diary.audit to diary_app;

-- A row of `account` or `session`. The arguments are secret columns: the trail says that they changed, never what they hold.
create function diary.audit_row() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    was jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    became jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    present jsonb := coalesce(became, was);
    secret text;
begin
    foreach secret in array tg_argv loop
        if was -> secret <> became -> secret then
            became := became || jsonb_build_object(secret, 'changed');
        else
            became := became - secret;
        end if;
        was := was - secret;
    end loop;
    insert into diary.audit (action, subject, subject_id, account_id, old, new)
    values (
        case tg_op when 'INSERT' then 'create' else lower(tg_op) end,
        tg_table_name,
        (present ->> 'id')::uuid,
        coalesce(present ->> 'account_id', present ->> 'id')::uuid,
        was,
        became
    );
    return null;
end
$$;

-- A new version of an entry: what it was is the version before.
create function diary.audit_version() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    was jsonb;
begin
    select to_jsonb(earlier) into was
    from diary.entry_version as earlier
    where earlier.entry_id = new.entry_id and earlier.version = new.version - 1;
    insert into diary.audit (action, subject, subject_id, account_id, old, new)
    values (
        case when new.deleted then 'delete' when was is null then 'create' else 'update' end,
        'entry',
        new.entry_id,
        new.account_id,
        was,
        to_jsonb(new)
    );
    return null;
end
$$;

revoke execute on function diary.audit_row(), diary.audit_version() from public;

create trigger audit_account after insert or update or delete on diary.account
    for each row execute function diary.audit_row('password_hash');

create trigger audit_session after insert or update or delete on diary.session
    for each row execute function diary.audit_row('token_hash');

create trigger audit_version after insert on diary.entry_version
    for each row execute function diary.audit_version();

-- migrate:down
-- deploy:lossy the audit trail goes with its table
drop trigger audit_version on diary.entry_version;
drop trigger audit_session on diary.session;
drop trigger audit_account on diary.account;
drop function diary.audit_version();
drop function diary.audit_row();
drop table diary.audit;

create or replace function diary.schema_version() returns integer
    language sql stable parallel safe
    return 3;
