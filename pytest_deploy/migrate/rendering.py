"""A migration as one statement that the server runs inside the release's transaction, or refuses.

Each section becomes one `DO` block that EXECUTEs it. The server then refuses COMMIT, ROLLBACK and the like (0A000), no
client splits the SQL wrongly, and an error's position is a position in the author's own text. REQ-o00044-B.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Final

from pytest_deploy.migrate.migration import Migration

_ENCODING: Final = "/* pgmigrate-encoding: utf-8 */ "
_TAG: Final = re.compile(r"\$deploy_(?P<version>\d+)_[0-9a-f]{16}\$")


def _quoted(text: str, version: str, salt: str = "") -> tuple[str, str]:
    """`text` dollar-quoted with a tag that does not occur in it, and that tag."""
    digest = hashlib.sha256((salt + text).encode()).hexdigest()[:16]
    tag = f"$deploy_{version}_{digest}$"
    return _quoted(text, version, salt + ".") if tag in text else (f"{tag}{text}{tag}", tag)


def about(migration: Migration) -> str:
    """What the ledger is to know of a migration, as JSON."""
    return json.dumps(
        {
            "version": migration.version,
            "name": migration.name,
            "sha256": migration.sha256,
            "down": migration.down if migration.down_section.transactional else None,
        }
    )


def facts_of_undo(version: str, name: str, sha256: str | None) -> str:
    """The same of a migration that is undone."""
    return json.dumps({"version": version, "name": name, "sha256": sha256, "down": None})


def block(sql: str, version: str, facts: str = "") -> str:
    """One DO block that runs `sql`; before it tells the ledger `facts` and the time, and resets the search path."""
    inner, _ = _quoted(sql, version)
    told, _ = _quoted(facts, version)
    body = (
        f" begin perform set_config('deploy.migration', {told}, true),"
        " set_config('deploy.began', pg_catalog.clock_timestamp()::text, true);"
        f" reset search_path; execute {inner}; end "
    )
    outer, _ = _quoted(body, version, "outer")
    return f"do {outer};"


def file_of(migration: Migration) -> tuple[str, str]:
    """Name and text of the file that pgmigrate runs for `migration`."""
    name = f"V{migration.version}__{migration.name.lower()}"
    if not migration.transactional:
        return f"{name}_NONTRANSACTIONAL.sql", _ENCODING + migration.up
    text = block(migration.up, migration.version, about(migration))
    return f"{name}.sql", text if text.isascii() else _ENCODING + text


def version_of(query: str) -> str | None:
    """The version whose block `query` is, or None."""
    match = _TAG.search(query)
    return match["version"] if match else None
