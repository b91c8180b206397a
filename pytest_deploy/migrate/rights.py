"""What the migrations' user may do in the database, asked before anything starts: an ordinary owner is enough, less is not."""

from __future__ import annotations

from typing import Final

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.session import Connection

_RIGHTS: Final = """
select quote_ident(session_user), quote_ident(current_database()),
       has_database_privilege(current_database(), 'create'),
       (select has_schema_privilege(oid, 'create') from pg_namespace where nspname = 'public'),
       (select pg_has_role(relowner, 'usage') from pg_class where relname = 'migration_event'
            and relnamespace = (select oid from pg_namespace where nspname = 'deploy'))
"""


def require_rights(connection: Connection) -> None:
    """This session may make the history's schema, its views in public, and write what is there of it.

    Raises PlatformUnavailable with all that is missing, and what gives it; nothing was changed.
    """
    ((user, database, may_create, in_public, history),) = connection.execute(_RIGHTS.encode()).fetchall()
    missing = []
    if not may_create:
        missing.append(f"create schemas in the database (`GRANT CREATE ON DATABASE {database} TO {user}`)")
    if in_public is None:
        missing.append(
            f"have a schema public, for the views that dbmate and pgmigrate read (`CREATE SCHEMA public AUTHORIZATION {user}`)"
        )
    elif not in_public:
        missing.append(f"create in the schema public (`GRANT CREATE ON SCHEMA public TO {user}`)")
    if history is False:
        missing.append(
            "own the history of migrations (by itself or as a member of the role that owns deploy.migration_event)"
        )
    if missing:
        raise PlatformUnavailable(
            f"{user} cannot migrate {database}, and nothing was started: it needs to {'; to '.join(missing)}. "
            f"The owner of all of it may: `ALTER DATABASE {database} OWNER TO {user}`, and the same for its schemas"
        )
