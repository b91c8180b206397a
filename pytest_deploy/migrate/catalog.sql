-- The schema as the catalogs hold it, one row an object or a part of one: kind, identity, definition.
-- Runs inside any transaction, sees what that transaction did, and sees whatever pg_dump --schema-only sees (the test's
-- list of mutations holds it to that). Names are qualified: the caller empties search_path first. Roles appear by name,
-- rights in an order of their own: one that is taken and given again comes last.
with
space as (
    select oid, nspname, nspowner, nspacl from pg_namespace
    where nspname !~ '^pg_' and nspname not in ('information_schema', 'deploy')
),
-- Members of extensions are the extension's, internal ones their owner's.
foreign_to_us as (select classid, objid from pg_depend where deptype = 'e'),
-- The history's two views; before a database is adopted, dbmate's and pgmigrate's own tables of these names.
bookkeeping as (
    select to_regclass('public.schema_migrations')::oid as oid union all select to_regclass('public.schema_version')::oid
),
relation as (
    select c.*, s.nspname, format('%I.%I', s.nspname, c.relname) as name
    from pg_class c join space s on s.oid = c.relnamespace
    where c.oid not in (select oid from bookkeeping where oid is not null)
      and c.oid not in (select indexrelid from pg_index where indrelid in (select oid from bookkeeping))
      and (1259, c.oid) not in (select * from foreign_to_us)
),
routine as (
    select p.*, format('%I.%I(%s)', s.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as name
    from pg_proc p join space s on s.oid = p.pronamespace where (1255, p.oid) not in (select * from foreign_to_us)
),
kind_of_type as (
    select t.*, format('%I.%I', s.nspname, t.typname) as name
    from pg_type t join space s on s.oid = t.typnamespace
    where t.typtype <> 'c' and t.typelem = 0
      and (s.nspname <> 'public' or t.typname <> 'schema_version_type') and (1247, t.oid) not in (select * from foreign_to_us)
),
part(kind, identity, definition) as (
    select 'schema', quote_ident(nspname),
           jsonb_build_object('owner', nspowner::regrole::text, 'acl', (select array_agg(g::text order by g::text collate "C") from unnest(coalesce(nspacl, acldefault('n', nspowner))) g)::text)
    from space
    union all
    select 'relation', name, jsonb_build_object(
               'kind', relkind, 'persistence', relpersistence, 'owner', relowner::regrole::text,
               'acl', (select array_agg(g::text order by g::text collate "C") from unnest(coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))) g)::text,
               'options', reloptions::text,
               'toast', (select t.reloptions::text from pg_class t where t.oid = r.reltoastrelid),
               'row security', relrowsecurity, 'forced', relforcerowsecurity, 'replica identity', relreplident,
               'method', (select amname from pg_am where oid = r.relam),
               'tablespace', (select spcname from pg_tablespace where oid = r.reltablespace),
               'of', nullif(reloftype, 0)::regtype::text,
               'partition key', case relkind when 'p' then pg_get_partkeydef(oid) end,
               'bound', pg_get_expr(relpartbound, oid),
               'parents', (select jsonb_agg(inhparent::regclass::text order by inhseqno) from pg_inherits where inhrelid = r.oid),
               'view', case when relkind in ('v', 'm') then pg_get_viewdef(oid) end,
               'foreign', (select jsonb_build_array(f.srvname, t.ftoptions::text) from pg_foreign_table t
                           join pg_foreign_server f on f.oid = t.ftserver where t.ftrelid = r.oid))
    from relation r where relkind in ('r', 'v', 'm', 'f', 'p', 'S', 'c')
    union all
    select 'column', format('%s %s', r.name, lpad((row_number() over (partition by a.attrelid order by a.attnum))::text, 4, '0')),
           jsonb_build_object(
               'name', attname, 'type', format_type(atttypid, atttypmod), 'not null', attnotnull,
               'default', (select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = a.attrelid and adnum = a.attnum),
               'identity', attidentity, 'generated', attgenerated, 'storage', attstorage, 'compression', attcompression,
               'statistics', nullif(attstattarget, -1), 'collation', nullif(attcollation, 0)::regcollation::text,
               'acl', (select array_agg(g::text order by g::text collate "C") from unnest(attacl) g)::text,
               -- pg_attver is the server's own mark, since 15.20: another one for each table, and no part of a dump.
               'options', (select array_agg(o order by n)::text from unnest(attoptions) with ordinality as one(o, n)
                           where o !~ '^pg_attver='),
               'foreign', attfdwoptions::text,
               'local', attislocal, 'inherited', attinhcount)
    from relation r join pg_attribute a on a.attrelid = r.oid
    where attnum > 0 and not attisdropped and relkind in ('r', 'v', 'm', 'f', 'p', 'c')
    union all
    select 'sequence', r.name, jsonb_build_object(
               'type', seqtypid::regtype::text, 'start', seqstart, 'step', seqincrement, 'max', seqmax, 'min', seqmin,
               'cache', seqcache, 'cycle', seqcycle,
               'owned by', (select format('%s.%I %s', refobjid::regclass, attname, deptype) from pg_depend d
                            join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                            where d.classid = 1259 and d.objid = r.oid and d.refclassid = 1259 and deptype in ('a', 'i')))
    from relation r join pg_sequence on seqrelid = r.oid
    union all
    select 'index', r.name, jsonb_build_object(
               'definition', pg_get_indexdef(r.oid), 'clustered', indisclustered, 'replica identity', indisreplident,
               'valid', indisvalid, 'tablespace', (select spcname from pg_tablespace where oid = r.reltablespace),
               'parent', (select inhparent::regclass::text from pg_inherits where inhrelid = r.oid),
               'statistics', (select jsonb_agg(nullif(attstattarget, -1) order by attnum) from pg_attribute where attrelid = r.oid))
    from relation r join pg_index on indexrelid = r.oid
    union all
    select 'constraint', format('%s on %s', quote_ident(conname), case when conrelid <> 0 then conrelid::regclass::text else contypid::regtype::text end),
           jsonb_build_object('definition', pg_get_constraintdef(c.oid), 'local', conislocal, 'inherited', coninhcount,
                              'index', nullif(conindid, 0)::regclass::text)
    from pg_constraint c join space s on s.oid = c.connamespace
    where conrelid = 0 or conrelid in (select oid from relation)
    union all
    select 'trigger', format('%I on %s', tgname, r.name),
           jsonb_build_object('definition', pg_get_triggerdef(t.oid), 'enabled', tgenabled, 'inherited', tgparentid <> 0)
    from pg_trigger t join relation r on r.oid = t.tgrelid where not tgisinternal
    union all
    select 'rule', format('%I on %s', rulename, r.name),
           jsonb_build_object('definition', pg_get_ruledef(u.oid), 'enabled', ev_enabled)
    from pg_rewrite u join relation r on r.oid = u.ev_class where rulename <> '_RETURN'
    union all
    select 'policy', format('%I on %s', polname, r.name), jsonb_build_object(
               'command', polcmd, 'permissive', polpermissive,
               'roles', (select jsonb_agg(case member when 0 then 'public' else member::regrole::text end order by member::regrole::text)
                         from unnest(polroles) member),
               'using', pg_get_expr(polqual, polrelid), 'check', pg_get_expr(polwithcheck, polrelid))
    from pg_policy p join relation r on r.oid = p.polrelid
    union all
    select 'routine', name, jsonb_build_object(
               'definition', case when prokind = 'a' then null else pg_get_functiondef(oid) end,
               'aggregate', (select (to_jsonb(a) - 'aggfnoid') || jsonb_build_object(
                                 'aggtranstype', aggtranstype::regtype::text, 'aggmtranstype', nullif(aggmtranstype, 0)::regtype::text,
                                 'aggsortop', nullif(aggsortop, 0)::regoperator::text) from pg_aggregate a where aggfnoid = r.oid),
               'returns', prorettype::regtype::text, 'parallel', proparallel,
               'owner', proowner::regrole::text, 'acl', (select array_agg(g::text order by g::text collate "C") from unnest(coalesce(proacl, acldefault('f', proowner))) g)::text)
    from routine r
    union all
    select 'type', name, jsonb_build_object(
               'kind', typtype, 'owner', typowner::regrole::text, 'acl', (select array_agg(g::text order by g::text collate "C") from unnest(coalesce(typacl, acldefault('T', typowner))) g)::text,
               'base', nullif(typbasetype, 0)::regtype::text, 'modifier', typtypmod, 'not null', typnotnull, 'default', typdefault,
               'collation', nullif(typcollation, 0)::regcollation::text, 'storage', typstorage, 'length', typlen,
               'functions', array[typinput, typoutput, typreceive, typsend, typmodin, typmodout, typanalyze]::regproc[]::text,
               'labels', (select jsonb_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = t.oid),
               'range', (select jsonb_build_array(rngsubtype::regtype::text, rngmultitypid::regtype::text, rngcanonical::text,
                             rngsubdiff::text, nullif(rngcollation, 0)::regcollation::text,
                             (select opcname from pg_opclass where oid = rngsubopc)) from pg_range where rngtypid = t.oid))
    from kind_of_type t
    union all
    -- The rows of composite types are in relation; their owners and rights are the type's.
    select 'type', name, jsonb_build_object('owner', typowner::regrole::text, 'acl', (select array_agg(g::text order by g::text collate "C") from unnest(coalesce(typacl, acldefault('T', typowner))) g)::text)
    from relation r join pg_type t on t.typrelid = r.oid where relkind = 'c'
    union all
    select 'extension', quote_ident(extname), jsonb_build_object('schema', extnamespace::regnamespace::text)
    from pg_extension
    union all
    select 'cast', format('%s as %s', castsource::regtype, casttarget::regtype), jsonb_build_object(
               'function', nullif(castfunc, 0)::regprocedure::text, 'context', castcontext, 'method', castmethod)
    from pg_cast where oid >= 16384 and (2605, oid) not in (select * from foreign_to_us)
    union all
    select 'operator', o.oid::regoperator::text, jsonb_build_object(
               'owner', oprowner::regrole::text, 'result', oprresult::regtype::text, 'function', oprcode::text,
               'commutator', nullif(oprcom, 0)::regoperator::text, 'negator', nullif(oprnegate, 0)::regoperator::text,
               'estimators', array[oprrest, oprjoin]::text, 'merges', oprcanmerge, 'hashes', oprcanhash)
    from pg_operator o join space s on s.oid = o.oprnamespace where (2617, o.oid) not in (select * from foreign_to_us)
    union all
    select 'operator class', format('%s.%I using %s', opcnamespace::regnamespace, opcname, amname), jsonb_build_object(
               'owner', opcowner::regrole::text, 'input', opcintype::regtype::text, 'default', opcdefault,
               'stored', nullif(opckeytype, 0)::regtype::text, 'family', f.opfname)
    from pg_opclass c join space s on s.oid = c.opcnamespace join pg_am m on m.oid = opcmethod join pg_opfamily f on f.oid = opcfamily
    where (2616, c.oid) not in (select * from foreign_to_us)
    union all
    select 'operator family', format('%s.%I using %s', opfnamespace::regnamespace, opfname, amname), jsonb_build_object(
               'owner', opfowner::regrole::text,
               'operators', (select jsonb_agg(format('%s %s %s', amopstrategy, amopopr::regoperator, amoppurpose) order by amopstrategy, amopopr::regoperator::text)
                             from pg_amop where amopfamily = f.oid),
               'functions', (select jsonb_agg(format('%s %s', amprocnum, amproc::text) order by amprocnum, amproc::text)
                             from pg_amproc where amprocfamily = f.oid))
    from pg_opfamily f join space s on s.oid = f.opfnamespace join pg_am m on m.oid = opfmethod
    where (2753, f.oid) not in (select * from foreign_to_us)
    union all
    select 'collation', c.oid::regcollation::text,
           to_jsonb(c) - array['oid', 'collnamespace', 'collname', 'collversion'] || jsonb_build_object('collowner', collowner::regrole::text)
    from pg_collation c join space s on s.oid = c.collnamespace where (3456, c.oid) not in (select * from foreign_to_us)
    union all
    select 'conversion', format('%s.%I', connamespace::regnamespace, conname),
           to_jsonb(c) - array['oid', 'connamespace'] || jsonb_build_object('conowner', conowner::regrole::text, 'conproc', conproc::text)
    from pg_conversion c join space s on s.oid = c.connamespace where (2607, c.oid) not in (select * from foreign_to_us)
    union all
    select 'statistics', format('%s.%I', stxnamespace::regnamespace, stxname), jsonb_build_object(
               'owner', stxowner::regrole::text, 'definition', pg_get_statisticsobjdef(t.oid), 'target', nullif(stxstattarget, -1))
    from pg_statistic_ext t join space s on s.oid = t.stxnamespace
    union all
    select 'text search configuration', t.oid::regconfig::text, jsonb_build_object(
               'owner', cfgowner::regrole::text, 'parser', (select prsname from pg_ts_parser where oid = cfgparser),
               'mapping', (select jsonb_agg(format('%s %s %s', maptokentype, mapseqno, mapdict::regdictionary) order by maptokentype, mapseqno)
                           from pg_ts_config_map where mapcfg = t.oid))
    from pg_ts_config t join space s on s.oid = t.cfgnamespace where (3602, t.oid) not in (select * from foreign_to_us)
    union all
    select 'text search dictionary', t.oid::regdictionary::text, jsonb_build_object(
               'owner', dictowner::regrole::text, 'options', dictinitoption, 'template', (select tmplname from pg_ts_template where oid = dicttemplate))
    from pg_ts_dict t join space s on s.oid = t.dictnamespace where (3600, t.oid) not in (select * from foreign_to_us)
    union all
    select 'text search parser', format('%s.%I', prsnamespace::regnamespace, prsname),
           to_jsonb(array[prsstart, prstoken, prsend, prsheadline, prslextype]::regproc[]::text)
    from pg_ts_parser p join space s on s.oid = p.prsnamespace where (3601, p.oid) not in (select * from foreign_to_us)
    union all
    select 'text search template', format('%s.%I', tmplnamespace::regnamespace, tmplname),
           to_jsonb(array[tmplinit, tmpllexize]::regproc[]::text)
    from pg_ts_template t join space s on s.oid = t.tmplnamespace where (3764, t.oid) not in (select * from foreign_to_us)
    union all
    select 'language', quote_ident(lanname), jsonb_build_object(
               'owner', lanowner::regrole::text, 'trusted', lanpltrusted, 'acl', (select array_agg(g::text order by g::text collate "C") from unnest(coalesce(lanacl, acldefault('l', lanowner))) g)::text)
    from pg_language where (2612, oid) not in (select * from foreign_to_us) and lanispl or lanacl is not null
    union all
    select 'event trigger', quote_ident(evtname), jsonb_build_object(
               'owner', evtowner::regrole::text, 'event', evtevent, 'tags', evttags::text, 'enabled', evtenabled, 'function', evtfoid::regproc::text)
    from pg_event_trigger where (3466, oid) not in (select * from foreign_to_us)
    union all
    select 'publication', quote_ident(pubname), to_jsonb(p) - array['oid', 'pubname', 'pubowner'] || jsonb_build_object(
               'owner', pubowner::regrole::text,
               -- What 14 does not have is asked for in a way that 14 can read: columns and filters of a table, and whole schemas.
               'tables', (select jsonb_agg(jsonb_build_array(
                              prrelid::regclass::text,
                              (select jsonb_agg(attname order by attname) from pg_attribute a
                               where attrelid = prrelid and to_jsonb(r) -> 'prattrs' @> to_jsonb(attnum)),
                              (select to_jsonb(t) -> 'rowfilter' from pg_publication_tables t
                               join pg_class c on c.relname = t.tablename join pg_namespace n on n.oid = c.relnamespace and n.nspname = t.schemaname
                               where t.pubname = p.pubname and c.oid = prrelid))
                              order by prrelid::regclass::text)
                          from pg_publication_rel r where prpubid = p.oid),
               'schemas', (select jsonb_agg(whole.refobjid::regnamespace::text order by whole.refobjid::regnamespace::text)
                           from pg_depend part join pg_depend whole on whole.classid = part.classid and whole.objid = part.objid
                           where part.classid = 6237 and part.refclassid = 6104 and part.refobjid = p.oid
                             and whole.refclassid = 2615))
    from pg_publication p
    union all
    select 'foreign data wrapper', quote_ident(fdwname), jsonb_build_object(
               'owner', fdwowner::regrole::text, 'handler', fdwhandler::regproc::text, 'validator', fdwvalidator::regproc::text,
               'options', fdwoptions::text, 'acl', (select array_agg(g::text order by g::text collate "C") from unnest(coalesce(fdwacl, acldefault('F', fdwowner))) g)::text)
    from pg_foreign_data_wrapper where (2328, oid) not in (select * from foreign_to_us)
    union all
    select 'server', quote_ident(srvname), jsonb_build_object(
               'owner', srvowner::regrole::text, 'type', srvtype, 'version', srvversion, 'options', srvoptions::text,
               'acl', (select array_agg(g::text order by g::text collate "C") from unnest(coalesce(srvacl, acldefault('S', srvowner))) g)::text,
               'users', (select jsonb_agg(case umuser when 0 then 'public' else umuser::regrole::text end order by umuser::regrole::text)
                         from pg_user_mappings where srvid = f.oid))
    from pg_foreign_server f where (1417, oid) not in (select * from foreign_to_us)
    union all
    select 'default rights', format('%s %s %s', defaclrole::regrole, nullif(defaclnamespace, 0)::regnamespace, defaclobjtype),
           jsonb_build_object('acl', (select array_agg(g::text order by g::text collate "C") from unnest(defaclacl) g)::text)
    from pg_default_acl
    union all
    select 'transform', format('%s %s', trftype::regtype, l.lanname),
           jsonb_build_object('from', nullif(trffromsql, 0)::regprocedure::text, 'to', nullif(trftosql, 0)::regprocedure::text)
    from pg_transform t join pg_language l on l.oid = t.trflang where (3576, t.oid) not in (select * from foreign_to_us)
    union all
    select 'method', quote_ident(amname), jsonb_build_object('handler', amhandler::regproc::text, 'type', amtype)
    from pg_am where oid >= 16384 and (2601, oid) not in (select * from foreign_to_us)
    union all
    select 'comment', o.type || ' ' || o.identity, to_jsonb(description)
    from pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) o
    where (d.objoid >= 16384 or d.classoid = 2615) and (d.classoid, d.objoid) not in (select * from foreign_to_us)
      and coalesce(o.schema, '') <> 'deploy' and o.identity is distinct from 'deploy' and o.identity !~ '^deploy\.'
      and not (d.classoid = 2615 and o.identity ~ '^(pg_|information_schema)')
    union all
    select 'label', o.type || ' ' || o.identity, jsonb_build_object(provider, label)
    from pg_seclabel l, pg_identify_object(l.classoid, l.objoid, l.objsubid) o
)
select kind, identity, jsonb_strip_nulls(definition)::text from part
order by kind collate "C", identity collate "C", definition::text collate "C"
