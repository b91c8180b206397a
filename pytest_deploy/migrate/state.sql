-- What a migration can change of a database besides its schema, one row a thing: kind, identity, definition.
-- It is compared within a trial, where nobody else is at work; between two databases, or over a release, it may differ.
with here as (select * from pg_database where datname = current_database())
select kind, identity, jsonb_strip_nulls(definition)::text from (
    select 'database', 'itself', jsonb_build_object(
               'owner', datdba::regrole::text, 'acl', coalesce(datacl, acldefault('d', datdba))::text,
               'connections', datconnlimit, 'comment', shobj_description(oid, 'pg_database'),
               'labels', (select jsonb_object_agg(provider, label) from pg_shseclabel l where l.objoid = here.oid and l.classoid = 1262))
    from here
    union all
    select 'database setting', case setrole when 0 then 'of every role' else setrole::regrole::text end,
           (select jsonb_agg(one order by one) from unnest(setconfig) one)
    from pg_db_role_setting join here on here.oid = setdatabase
    union all
    select 'extension version', quote_ident(extname), to_jsonb(extversion) from pg_extension
    union all
    select 'materialized view', format('%I.%I', nspname, relname), jsonb_build_object('populated', relispopulated)
    from pg_class c join pg_namespace n on n.oid = relnamespace where relkind = 'm'
) part(kind, identity, definition)
order by kind collate "C", identity collate "C"
