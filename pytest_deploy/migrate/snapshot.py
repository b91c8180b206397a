r"""What the schema was, and what it became: pg_dump's own words, the same for the same schema. REQ-o00044-N, -O.

Left out is what differs without the schema differing (programs' versions, the random key of `\restrict`) and what is
the deployment's own bookkeeping (the ledger and its two views).
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.catalog import read_catalog
from pytest_deploy.migrate.programs import run
from pytest_deploy.migrate.session import connect, rows_of

_NOISE: Final = re.compile(
    r"--|-- PostgreSQL database dump( complete)?|-- Dumped (from database|by pg_dump) version .*|\\(un)?restrict \w+|"
)
_OURS: Final = (
    f"--exclude-schema={ledger.SCHEMA}",
    *(f"--exclude-table=public.{view}" for view in ledger.VIEWS),
)


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


def normalised(dump: str) -> str:
    """pg_dump's plain text without the lines of its head and foot that differ from run to run."""
    lines = dump.splitlines(keepends=True)
    start, end = 0, len(lines)
    while start < end and _NOISE.fullmatch(lines[start].rstrip("\r\n")):
        start += 1
    while end > start and _NOISE.fullmatch(lines[end - 1].rstrip("\r\n")):
        end -= 1
    return "".join(lines[start:end])


def snapshot(conninfo: str, programs: Path | None = None, *, lock_timeout_s: float = 5.0) -> Snapshot:
    """The schema now. Raises PlatformUnavailable where the server or pg_dump cannot be reached."""
    dump = run(
        "pg_dump",
        ["--schema-only", *_OURS, f"--lock-wait-timeout={round(lock_timeout_s * 1000)}"],
        conninfo,
        programs=programs,
        lock_timeout_s=lock_timeout_s,
    )
    with connect(conninfo, lock_timeout_s=lock_timeout_s) as connection:
        history = ledger.applied(connection)
        catalog = read_catalog(rows_of(connection))
    newest = max(history, key=lambda done: done.number, default=None)
    return Snapshot(normalised(dump.decode("utf-8")), newest.version if newest else "0", catalog.sha256)


def diff(before: Snapshot, after: Snapshot) -> str:
    """What changed, as a unified diff; empty where nothing did."""
    return "".join(
        difflib.unified_diff(
            before.text.splitlines(keepends=True),
            after.text.splitlines(keepends=True),
            f"before.sql (version {before.version})",
            f"after.sql (version {after.version})",
        )
    )
