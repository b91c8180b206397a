"""How files of migrations are named, and how a file that comes late gets another version.

    0001_create_visit.sql  20240102030405_create_visit.sql     and in pairs  rollback/0001_rollback.sql

A version is a number of a sequence without gap, or a timestamp, as dbmate names new files; both may lie in one folder. The
order is that of the numbers. REQ-o00044-A.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from pytest_deploy.workspace import program_command

RENUMBER: Final = program_command("migrate", "renumber", "ENV")
EXAMPLE: Final = "0001_create_visit.sql or 20240102030405_create_visit.sql"
_NAME: Final = re.compile(r"(?P<version>\d{3,18})_(?P<name>[A-Za-z0-9][A-Za-z0-9_-]*)\.sql")
_ROLLBACK: Final = re.compile(r"(?P<version>\d{3,18})_rollback\.sql")
_TIMESTAMP_DIGITS: Final = 8
_MOMENT: Final = "%Y%m%d%H%M%S"
_WIDTH: Final = 4


@dataclass(frozen=True)
class NamedFile:
    """A file that is a migration by its name."""

    path: Path
    version: str
    """Digits as in the file's name."""
    name: str

    @property
    def number(self) -> int:
        return int(self.version)

    @cached_property
    def sha256(self) -> str:
        """Hex, of the file's bytes; in the two-file layout of the two files' hex digests, up first, one a line."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        pairs = rollback_folder(self.path.parent)
        if pairs is None:
            return digest
        down = rollback_file(pairs, self.version)
        way_down = down.read_bytes() if down.is_file() else b""
        return hashlib.sha256(f"{digest}\n{hashlib.sha256(way_down).hexdigest()}\n".encode()).hexdigest()


def named_files(folder: Path) -> tuple[NamedFile, ...]:
    """The files of `folder` that are migrations by name, by number and name; doubles among them."""
    found = ((path, _NAME.fullmatch(path.name)) for path in folder.iterdir() if path.is_file())
    files = (NamedFile(path, match["version"], match["name"]) for path, match in found if match)
    return tuple(sorted(files, key=lambda file: (file.number, file.path.name)))


def rollback_folder(folder: Path) -> Path | None:
    """Where the ways down lie, in the layout of pairs; None in dbmate's."""
    pairs = folder / "rollback"
    return pairs if pairs.is_dir() else None


def rollback_file(pairs: Path, version: str) -> Path:
    """The way down of a version, in the layout of pairs."""
    return pairs / f"{version}_rollback.sql"


def number_of_rollback(path: Path) -> int | None:
    """The number that a way down of a pair undoes; None where the name is not that of one."""
    match = _ROLLBACK.fullmatch(path.name)
    return int(match["version"]) if match else None


def is_timestamp(version: str) -> bool:
    """Whether a version is a moment, as dbmate names new files, and not a number of a sequence without gap.

    Eight digits or more that do not begin with 0: a date, a date and a time (14 digits, UTC), or seconds since 1970.
    """
    return len(version) >= _TIMESTAMP_DIGITS and not version.startswith("0")


def next_versions(known: Sequence[str], now: datetime, wanted: int = 1) -> tuple[str, ...]:
    """So many versions after all the `known` ones, in their kind: timestamps where the last one is one, else numbers.

    Args:
        known: versions of the folder and of the history; none: numbers from 0001 on.
        now: UTC, where timestamps are wanted.
        wanted: how many.
    """
    last = max(known, key=int, default="0" * _WIDTH)
    if not is_timestamp(last):
        return tuple(str(int(last) + step).zfill(len(last)) for step in range(1, wanted + 1))
    if int(now.strftime(_MOMENT)) > int(last):
        return tuple((now + timedelta(seconds=step)).strftime(_MOMENT) for step in range(wanted))
    return tuple(str(int(last) + step) for step in range(1, wanted + 1))


@dataclass(frozen=True)
class Rename:
    """A file, or a pair's way down, and the name it is to get."""

    old: Path
    new: Path


def renumbered(folder: Path, applied: Mapping[int, Path | None], now: datetime) -> tuple[Rename, ...]:
    """The renames after which all that is not applied stands after all that is, each with a version of its own.

    What comes in time keeps its place; what is late, or double, goes to the end, in its own order.

    Args:
        folder: of the migrations.
        applied: by number, the file that was applied; None where none of the folder is it.
        now: UTC, for new timestamps.
    """
    newest = max(applied, default=0)
    files = named_files(folder)
    in_place = {file.version for file in files if applied.get(file.number) == file.path}
    in_time: list[NamedFile] = []
    late: list[NamedFile] = []
    for file in files:
        if applied.get(file.number) == file.path:
            continue
        is_late = file.number <= newest or (in_time and in_time[-1].number == file.number)
        (late if is_late else in_time).append(file)
    # A timestamp that is in time stays; numbers close up.
    known = [file.version for file in files if file.number <= newest] or ["0" * len(files[0].version)] if files else []
    versions: list[str] = []
    for file in in_time:
        versions += [file.version] if is_timestamp(file.version) else next_versions([*known, *versions], now)
    versions += next_versions([*known, *versions], now, len(late))
    # The way down of a pair goes with its file, unless it is that of another one.
    renames = []
    pairs = rollback_folder(folder)
    stay = in_place | {
        file.version for file, version in zip(in_time, versions, strict=False) if file.version == version
    }
    for file, version in zip([*in_time, *late], versions, strict=True):
        if version != file.version:
            renames.append(Rename(file.path, folder / f"{version}_{file.name}.sql"))
            if pairs is not None and file.version not in stay and rollback_file(pairs, file.version).is_file():
                renames.append(Rename(rollback_file(pairs, file.version), rollback_file(pairs, version)))
    return tuple(renames)


def rename(renames: Sequence[Rename]) -> None:
    """Carry renames out, in an order in which no file takes the place of another. Raises FileExistsError where there is none."""
    left = list(renames)
    while left:
        free = next((one for one in left if not one.new.exists()), None)
        if free is None:
            raise FileExistsError(left[0].new)
        free.old.rename(free.new)
        left.remove(free)
