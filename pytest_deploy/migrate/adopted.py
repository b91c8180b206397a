"""Migrations that were applied before this program came: `adopted.json` beside them, written by `migrate adopt` and committed.

    {"databases": {"production": {"tool": "dbmate", "last": "0012", "schema_sha256": "...", "by": "...", "at": "..."}},
     "files": {"0001_create_visit.sql": "..."}}

The files it names need no declaration and no way down, and stay as they are: their SHA-256 is held. A database it names is
taken over by the next approved deployment; who signs the request signs the commit that holds this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from pytest_deploy.errors import Fault, MigrationsRefused
from pytest_deploy.workspace import program_command, typed_path

FILE: Final = "adopted.json"
ADOPT: Final = program_command("migrate", "adopt", "ENV")
ADOPT_BASELINE: Final = program_command("migrate", "adopt", "ENV", "--baseline", "VERSION")
Tool = Literal["dbmate", "pgmigrate", "none"]


class Adoption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One database, as it was looked at when it was adopted."""

    tool: Tool
    """Whose history it had; none: what it holds was declared, as a baseline."""
    last: str
    """The newest version that was applied."""
    schema_sha256: str
    """Hex, of the catalog text."""
    by: str
    at: str
    """UTC, ISO 8601."""


class Adopted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    databases: dict[str, Adoption]
    """By environment."""
    files: dict[str, str]
    """SHA-256 (hex) of each file that is exempt, by its path in the folder."""


def read_adopted(folder: Path) -> Adopted:
    """What the folder's file says; nothing where there is none. Raises MigrationsRefused where it is something else."""
    path = folder / FILE
    if not path.is_file():
        return Adopted({}, {})
    try:
        return msgspec.json.decode(path.read_bytes(), type=Adopted)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        fault = Fault(
            typed_path(path),
            None,
            "",
            f"this is not what `migrate adopt` writes: {error}",
            "restore it from its commit",
        )
    raise MigrationsRefused("adopted migrations", [fault])


def adopted_files(folder: Path) -> dict[str, str]:
    """The SHA-256 (hex) of each file that was adopted, by its path in the folder."""
    return read_adopted(folder).files


def write_adopted(folder: Path, adopted: Adopted) -> None:
    """Write the file, in an order that a diff reads well in."""
    text = msgspec.json.format(msgspec.json.encode(adopted, order="sorted"), indent=2)
    (folder / FILE).write_bytes(text + b"\n")
