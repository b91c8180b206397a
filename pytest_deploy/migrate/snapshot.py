r"""What the schema is, in two texts that are the same for the same schema. REQ-o00044-C, -D, -G, -N, -O.

The catalog text is read by a query inside any transaction, also before it commits, which pg_dump cannot do: so a schema is
verified before it is committed. It has one line an object or column, sorted, so that two texts differ line by line.

The snapshot is pg_dump's own words, without what differs while the schema does not (programs' versions, the random key of
`\restrict`) and without the deployment's own bookkeeping (the ledger and its two views).
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.session import LOCK_WAIT, Rows, connect, rows_of, run_program

_NOISE: Final = re.compile(
    r"--|-- PostgreSQL database dump( complete)?|-- Dumped (from database|by pg_dump) version .*|\\(un)?restrict \w+|"
)
_OPTIONS: Final = re.compile(
    r"^(ALTER (?:FOREIGN )?TABLE ONLY .* ALTER COLUMN .* SET \()(.*\bpg_attver=\d.*)(\);\n)", re.MULTILINE
)
_MARK: Final = re.compile(r"pg_attver=\d+(?:, |$)|, pg_attver=\d+$")
"""A column's option that some servers set by themselves, another number for each table that is made."""
_BOOKKEEPING: Final = (
    "--exclude-schema=deploy",
    "--exclude-table=public.schema_migrations",
    "--exclude-table=public.schema_version",
)
"""The ledger, and the two views by which dbmate and pgmigrate see it."""


# --- The catalog text: what is compared inside a transaction, before it commits.


@dataclass(frozen=True)
class Catalog:
    """The schema at one moment."""

    text: str

    @property
    def sha256(self) -> str:
        """Hex, of the text as UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def diff(self, other: Catalog, name: str, other_name: str) -> Iterator[str]:
        """Unified, without context: one line an object or column."""
        lines, other_lines = self.text.splitlines(keepends=True), other.text.splitlines(keepends=True)
        return difflib.unified_diff(lines, other_lines, name, other_name, n=0)


@cache
def _query() -> str:
    return resources.files("pytest_deploy.migrate").joinpath("catalog.sql").read_text(encoding="utf-8")


_WORDING: Final = {
    "search_path": "",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "quote_all_identifiers": "off",
}
"""Settings by which the server words what the catalogs hold: the same for every session and database."""


def _set(rows: Rows, settings: Mapping[str, str]) -> None:
    quoted = [(name, value.replace("'", "''")) for name, value in settings.items()]
    rows("select " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in quoted))


def read_catalog(rows: Rows) -> Catalog:
    """The schema as the session behind `rows` sees it now; the ledger is left out. Changes nothing in the session."""
    (own,) = rows("select " + ", ".join(f"current_setting('{name}')" for name in _WORDING))
    _set(rows, _WORDING)
    lines = [f"{kind} {identity} {definition}\n" for kind, identity, definition in rows(_query())]
    _set(rows, dict(zip(_WORDING, own, strict=True)))
    return Catalog("".join(lines))


# --- The snapshot: what people read and the record keeps.


@dataclass(frozen=True)
class Snapshot:
    """The schema at one moment, outside of any transaction."""

    text: str
    """SQL that makes it, normalised."""
    version: str
    """The newest migration applied; `0` for none."""
    catalog: str
    """SHA-256 of the catalog text: what `apply` and `roll_back` compare with inside their transaction."""

    @property
    def sha256(self) -> str:
        """Hex, of the text as UTF-8: of the bytes of before.sql or after.sql."""
        return hashlib.sha256(self.text.encode()).hexdigest()


NONE: Final = Snapshot("", "0", hashlib.sha256(b"").hexdigest())
"""Where there is no database: both digests are those of nothing."""


def normalised(dump: str) -> str:
    """pg_dump's plain text without the lines of its head and foot that differ from run to run, and without the server's own mark."""
    lines = _OPTIONS.sub(_without_mark, dump).splitlines(keepends=True)
    start, end = 0, len(lines)
    while start < end and _NOISE.fullmatch(lines[start].rstrip("\r\n")):
        start += 1
    while end > start and _NOISE.fullmatch(lines[end - 1].rstrip("\r\n")):
        end -= 1
    return "".join(lines[start:end])


def _without_mark(line: re.Match[str]) -> str:
    left = _MARK.sub("", line[2])
    return f"{line[1]}{left}{line[3]}" if left else ""


def snapshot(conninfo: str, programs: Path | None = None) -> Snapshot:
    """The schema now. Raises PlatformUnavailable where the server or pg_dump cannot be reached."""
    dump = run_program("pg_dump", ["--schema-only", *_BOOKKEEPING, LOCK_WAIT], conninfo, programs)
    with connect(conninfo) as connection:
        history = ledger.applied(connection)
        catalog = read_catalog(rows_of(connection))
    newest = max(history, key=lambda done: done.number, default=None)
    return Snapshot(normalised(dump.decode("utf-8")), newest.version if newest else "0", catalog.sha256)
