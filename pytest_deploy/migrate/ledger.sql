-- One append-only history of the schema. dbmate's and pgmigrate's own tables are views on it, so that both tools see
-- what happened, and what they do is kept: every up and every down stays. Runs again without harm; PostgreSQL >= 14.
create schema if not exists deploy;

create table if not exists deploy.migration_event (
    seq bigint generated always as identity primary key,
    version text not null check (version ~ '^[0-9]{1,18}$'),
    number bigint not null generated always as (version::bigint) stored,
    direction text not null check (direction in ('up', 'down', 'noted')),
    description text not null default '',
    sha256 text check (sha256 ~ '^[0-9a-f]{64}$'),
    engine text not null,
    actor text not null,
    db_user text not null default current_user,
    at timestamptz not null default clock_timestamp(),
    duration_s double precision,
    way_down text,
    txid xid8 not null default pg_current_xact_id()
);
create index if not exists migration_event_number on deploy.migration_event (number, seq desc);
comment on table deploy.migration_event is
    'History of migrations. direction noted: the digest of a file whose up came from a tool that records none.';

create or replace function deploy.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'deploy.% is append-only: % is refused', tg_table_name, tg_op using errcode = 'object_not_in_prerequisite_state';
end $$;
create or replace trigger append_only before update or delete or truncate on deploy.migration_event
    for each statement execute function deploy.refuse_change();

-- Who took a history over that another tool had begun, or declared one, and the schema (SHA-256 of its catalog text) that was found.
create table if not exists deploy.adoption (
    at timestamptz not null default clock_timestamp(),
    actor text not null,
    tool text not null check (tool in ('dbmate', 'pgmigrate', 'none')),
    last text not null,
    schema_sha256 text not null check (schema_sha256 ~ '^[0-9a-f]{64}$')
);
create or replace trigger append_only before update or delete or truncate on deploy.adoption
    for each statement execute function deploy.refuse_change();

-- What is applied now: the last word on each version is `up`.
create or replace view deploy.applied as
select last.seq, last.version, last.number, last.description, last.engine, last.actor, last.db_user, last.at,
       last.duration_s, last.way_down, last.txid,
       coalesce(last.sha256, (select noted.sha256 from deploy.migration_event noted
                              where noted.number = last.number and noted.direction = 'noted' and noted.seq > last.seq
                              order by noted.seq desc limit 1)) as sha256
from (select distinct on (number) * from deploy.migration_event
      where direction <> 'noted' order by number, seq desc) last
where last.direction = 'up';

-- pgmigrate knows versions as numbers; the files' width is that of the versions known so far, else four digits.
create or replace function deploy.as_version(a_number bigint) returns text language sql stable
    as $$ select lpad(a_number::text, greatest(length(a_number::text),
            coalesce((select length(version) from deploy.migration_event order by seq limit 1), 4)), '0') $$;

-- Appends one event. The table lock makes the check and the append one step against a concurrent tool. What the runner
-- has told about the file stands in deploy.migration; another tool tells nothing. (No `set search_path` here: these run
-- with the caller's rights, name everything in full, and are called for every migration.)
create or replace function deploy.append(a_number bigint, a_version text, a_direction text, a_description text, a_engine text, a_actor text)
    returns void language plpgsql as $$
declare
    file jsonb := nullif(current_setting('deploy.migration', true), '')::jsonb;
    is_up boolean;
begin
    lock table deploy.migration_event in share row exclusive mode;
    select direction = 'up' into is_up from deploy.migration_event
        where number = a_number and direction <> 'noted' order by seq desc limit 1;
    if a_direction = 'up' and is_up then
        raise unique_violation using message = format('version %s is already applied', a_number);
    elsif a_direction = 'down' and is_up is not true then
        return;
    end if;
    if (file ->> 'version')::bigint is distinct from a_number then
        insert into deploy.migration_event (version, direction, description, engine, actor)
        values (coalesce(a_version, deploy.as_version(a_number)), a_direction, a_description,
                coalesce(nullif(current_setting('deploy.engine', true), ''), a_engine),
                coalesce(nullif(current_setting('deploy.actor', true), ''), a_actor));
    else
        insert into deploy.migration_event (version, direction, description, sha256, engine, actor, duration_s, way_down)
        values (file ->> 'version', a_direction, file ->> 'name', file ->> 'sha256',
                coalesce(nullif(current_setting('deploy.engine', true), ''), a_engine),
                coalesce(nullif(current_setting('deploy.actor', true), ''), a_actor),
                extract(epoch from clock_timestamp() - current_setting('deploy.began')::timestamptz), file ->> 'down');
    end if;
end $$;

create or replace function deploy.write_schema_migrations() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform deploy.append(new.version::bigint, new.version::text, 'up', '', 'dbmate', 'database:' || session_user);
        return new;
    end if;
    perform deploy.append(old.version::bigint, old.version::text, 'down', '', 'dbmate', 'database:' || session_user);
    return old;
end $$;

create or replace function deploy.write_schema_version() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform deploy.append(new.version, null, 'up', new.description, 'pgmigrate',
                              'database:' || coalesce(new.installed_by, session_user));
        return new;
    end if;
    perform deploy.append(old.version, null, 'down', old.description, 'pgmigrate', 'database:' || session_user);
    return old;
end $$;

-- What each migration of ours ends with, after its roles are reset: nothing of its session is left to the next one, and
-- what deploy.append is to know of it is told. A function, so that the server reads it once for all of them.
create or replace function deploy.end_migration(facts text, actor text, engine text, began timestamptz) returns void language plpgsql as $$
begin
    if pg_catalog.current_setting('transaction_read_only')::bool then
        raise exception 'it leaves the transaction read only' using hint = 'remove SET TRANSACTION';
    end if;
    reset all; deallocate all; discard sequences; execute 'close all';
    if pg_catalog.pg_my_temp_schema() <> 0 then
        execute 'discard temp';
    end if;
    if exists (select from pg_catalog.pg_trigger where tginitdeferred) then  -- fewer rows than pg_constraint
        execute (select 'set constraints '
                        || pg_catalog.string_agg(distinct pg_catalog.format('%I.%I', nspname, conname), ', ') || ' deferred'
                 from pg_catalog.pg_constraint c join pg_catalog.pg_namespace n on n.oid = c.connamespace where condeferred);
    end if;
    perform pg_catalog.set_config('deploy.migration', facts, true), pg_catalog.set_config('deploy.began', began::text, true);
    if actor is not null then
        perform pg_catalog.set_config('deploy.actor', actor, true), pg_catalog.set_config('deploy.engine', engine, true);
    end if;
end $$;

-- Tables that dbmate or pgmigrate made before: their rows become events, they themselves move out of the way.
do $adopt$
begin
    if (select relkind from pg_class where oid = to_regclass('public.schema_version')) = 'r' then
        insert into deploy.migration_event (version, direction, description, engine, actor, at)
        select deploy.as_version(version), 'up', description, 'pgmigrate', 'database:' || installed_by, installed_on
        from public.schema_version order by version;
        alter table public.schema_version set schema deploy;
        alter table deploy.schema_version rename to adopted_schema_version;
        alter type public.schema_version_type set schema deploy;
    end if;
    if (select relkind from pg_class where oid = to_regclass('public.schema_migrations')) = 'r' then
        insert into deploy.migration_event (version, direction, engine, actor)
        select version, 'up', 'dbmate', 'database:unknown (adopted)'
        from public.schema_migrations theirs
        where not exists (select from deploy.migration_event ours where ours.number = theirs.version::bigint)
        order by version::bigint;
        alter table public.schema_migrations set schema deploy;
        alter table deploy.schema_migrations rename to adopted_schema_migrations;
    end if;
    if to_regtype('deploy.schema_version_type') is null then
        create type deploy.schema_version_type as enum ('auto', 'manual');
    end if;
end $adopt$;

create or replace view public.schema_migrations as select version::varchar as version from deploy.applied;
create or replace view public.schema_version as
select number as version, description, 'auto'::deploy.schema_version_type as type, db_user as installed_by,
       at::timestamp as installed_on
from deploy.applied;
create or replace trigger append_event instead of insert or delete on public.schema_migrations
    for each row execute function deploy.write_schema_migrations();
create or replace trigger append_event instead of insert or delete on public.schema_version
    for each row execute function deploy.write_schema_version();
