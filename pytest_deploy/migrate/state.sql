-- What a migration can change of a database besides its schema, one row a thing: kind, identity, definition.
-- It is compared within a trial, where nobody else is at work; between two databases, or over a release, it may differ.
with here as (select * from pg_database where datname = current_database()),
system as (select oid from pg_namespace where nspname in ('pg_catalog', 'information_schema')),
brought as (select classid, objid from pg_depend where deptype = 'e')
select kind, identity, jsonb_strip_nulls(definition)::text from (
    select 'database', 'itself', jsonb_build_object(
               'owner', datdba::regrole::text, 'acl', (select array_agg(g::text order by g::text collate "C") from unnest(coalesce(datacl, acldefault('d', datdba))) g)::text,
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
    -- Rights on what the server or an extension brought, where they are not as it came.
    select 'right', name, to_jsonb((select array_agg(g::text order by g::text collate "C") from unnest(now) g)::text)
    from (
        select format('function %s', p.oid::regprocedure), coalesce(proacl, acldefault('f', proowner)),
               coalesce(initprivs, acldefault('f', proowner))
        from pg_proc p left join pg_init_privs i on i.classoid = 1255 and i.objoid = p.oid and i.objsubid = 0
        where pronamespace in (select oid from system) or (1255, p.oid) in (select * from brought)
        union all
        select format('relation %s', c.oid::regclass), coalesce(relacl, acldefault('r', relowner)),
               coalesce(initprivs, acldefault('r', relowner))
        from pg_class c left join pg_init_privs i on i.classoid = 1259 and i.objoid = c.oid and i.objsubid = 0
        where relkind in ('r', 'v', 'm', 'f', 'p') and (relnamespace in (select oid from system) or (1259, c.oid) in (select * from brought))
    ) rights(name, now, came)
    where not (now @> came and now <@ came)
    union all
    select 'materialized view', format('%I.%I', nspname, relname), jsonb_build_object('populated', relispopulated)
    from pg_class c join pg_namespace n on n.oid = relnamespace where relkind = 'm'
) part(kind, identity, definition)
order by kind collate "C", identity collate "C"
