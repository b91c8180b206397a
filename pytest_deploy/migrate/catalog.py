"""The schema as one text, read inside any transaction, also before it commits.

pg_dump cannot see what a transaction has done so far; this query can, and so a schema is verified before it is
committed (REQ-o00044-C, -D, -G). One line an object or column, sorted, so that two texts differ line by line.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pytest_deploy.migrate.session import Rows


@dataclass(frozen=True)
class Catalog:
    """The schema at one moment."""

    text: str

    @property
    def sha256(self) -> str:
        """Hex, of the text as UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def _query() -> str:
    return resources.files("pytest_deploy.migrate").joinpath("catalog.sql").read_text(encoding="utf-8")


def read_catalog(rows: Rows) -> Catalog:
    """The schema as the session behind `rows` sees it now; the ledger is left out. Changes nothing in the session."""
    ((path,),) = rows("select current_setting('search_path')")
    rows("select set_config('search_path', '', false)")
    lines = [f"{kind} {identity} {definition}\n" for kind, identity, definition in rows(_query())]
    quoted = path.replace("'", "''")
    rows(f"select set_config('search_path', '{quoted}', false)")
    return Catalog("".join(lines))
