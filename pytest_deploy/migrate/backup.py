"""A backup before the schema moves, in a file that only its owner reads. REQ-o00044-J."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedRandom
from pathlib import Path
from typing import Final

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.session import LOCK_WAIT, Connection, connect, path_of, run_program, scratch_database
from pytest_deploy.migrate.snapshot import snapshot
from pytest_deploy.record.programs import described

_TABLES: Final = """
select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by 1
"""


@dataclass(frozen=True)
class Backup:
    kind: str
    place: str
    """Path of the file."""
    bytes: int
    sha256: str
    """Hex, of the file."""
    restorable: bool | None
    """Whether a restore into a scratch database gave the same schema and row counts; None: not tried."""
    program: Mapping[str, str]
    """The pg_dump that made it, as the record names programs: `path`, `version`, `sha256`."""


def proof_due(rate: float, key: str) -> bool:
    """Whether this backup is to be proven, so that a share `rate` (0 to 1) of all keys is; the same key, the same answer."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) < rate * 2**64


def back_up(conninfo: str, into: Path, programs: Path | None = None, *, prove: bool = False) -> Backup:
    """`pg_dump --format=custom` of the whole database into a new file of the folder `into`, mode 0600, on disk.

    With `prove` it is restored into a scratch database, whose schema and row counts must be those of the moment of the backup.

    Raises PlatformUnavailable, also where the proof fails; nothing is left of a backup that could not be made.
    """
    if not prove:
        return _dump(conninfo, into, programs)
    # 1. Dump, and note schema and row counts, all as of one moment.
    with connect(conninfo) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        ((moment,),) = connection.execute("select pg_export_snapshot()").fetchall()
        backup = _dump(conninfo, into, programs, f"--snapshot={moment}")
        expected = snapshot(conninfo, programs).text, _counts(connection)
    # 2. Restore it into a database of its own, and compare.
    with scratch_database(conninfo) as place:
        name = conninfo_to_dict(place)["dbname"]
        run_program("pg_restore", ["--exit-on-error", f"--dbname={name}", backup.place], place, programs)
        with connect(place) as connection:
            restored = snapshot(place, programs).text, _counts(connection)
    compare(backup, expected, restored)
    return replace(backup, restorable=True)


def _counts(connection: Connection) -> dict[str, int]:
    """Rows of every table, the ledger's included."""
    query = sql.SQL("select count(*) from {}")
    return {
        table: count
        for (table,) in connection.execute(_TABLES.encode()).fetchall()
        for (count,) in connection.execute(query.format(sql.SQL(table)))
    }


def compare(backup: Backup, expected: tuple[str, dict[str, int]], restored: tuple[str, dict[str, int]]) -> None:
    """Raises PlatformUnavailable where schema or row counts of the restored database are others, naming what differs."""
    if expected == restored:
        return
    tables = sorted({table for table, _ in set(expected[1].items()) ^ set(restored[1].items())})
    what = f"the row counts of {', '.join(tables)}" if tables else "the schema"
    raise PlatformUnavailable(f"the backup {backup.place} does not give back {what}; do not rely on it")


def _dump(conninfo: str, into: Path, programs: Path | None, *options: str) -> Backup:
    path = into / f"{secrets.token_hex(8)}.dump"
    with private_file(path) as file:
        run_program("pg_dump", ["--format=custom", f"--file={path}", LOCK_WAIT, *options], conninfo, programs)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    made_by = described(path_of("pg_dump", programs))
    return Backup("pg_dump-custom", str(path), path.stat().st_size, digest, None, made_by)


@contextmanager
def private_file(path: Path) -> Iterator[BufferedRandom]:
    """A new file of mode 0600; on disk when this ends, and gone where it ends with an error: half a copy is none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
