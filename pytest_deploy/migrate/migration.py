"""One migration: a step of the schema, with its own way back, as it stands in files.

    -- deploy:compatible expand
    -- migrate:up
    create table visit (id bigint generated always as identity primary key);
    -- migrate:down
    drop table visit;

What the author declares stands in lines of its own, anywhere in the file:

    -- deploy:compatible expand|contract|breaking   required; whether the running revision survives the up
    -- deploy:lossy REASON                          up and down together lose data, and why that is right
    -- deploy:accept RULE REASON                    a finding of squawk's that is accepted, and why
    -- deploy:outside-transaction REASON            the up cannot run in a transaction: a deviation, and why
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_deploy.migrate.statements import statements
from pytest_deploy.workspace import typed_path

Compatible = Literal["expand", "contract", "breaking"]


@dataclass(frozen=True)
class Section:
    """One direction of a migration: its SQL, and where that stands."""

    sql: str
    path: Path
    line: int
    """1-based line of the file on which the SQL begins."""
    transactional: bool = True
    """Whether it runs in the release's one transaction."""

    def place(self, line: int = 1) -> str:
        """`file:line` of a 1-based line of the SQL."""
        return f"{typed_path(self.path)}:{self.line + line - 1}"


@dataclass(frozen=True)
class Migration:
    """A migration that `read_migrations` found without fault."""

    version: str
    """Digits as in the file's name, `0001` or `20240102030405`."""
    name: str
    path: Path
    up: Section
    down: Section
    sha256: str
    """Hex. Of the file's bytes; in the two-file layout of the two files' hex digests, up first, one a line."""
    compatible: Compatible
    lossy: str | None = None
    """The author's reason, where data loss is declared."""
    accepted: tuple[tuple[str, str], ...] = ()
    """Rules of the linter that are accepted, each with the author's reason."""
    deviation: str | None = None
    """The author's reason why the up runs outside a transaction."""
    adopted: bool = False
    """Whether it was applied before this program came (`adopted.json`): it declares nothing, and may have no way down."""

    @property
    def number(self) -> int:
        return int(self.version)

    @property
    def transactional(self) -> bool:
        """Whether its up runs in a transaction, with its neighbours."""
        return self.up.transactional

    @property
    def reversible(self) -> bool:
        """Whether it has a way down; only an adopted one may have none."""
        return bool(statements(self.down.sql))


# --- Whether the revision that serves now survives the release's migrations.


@dataclass(frozen=True)
class Compatibility:
    """What the authors' declarations amount to, for the plan."""

    running_revision_survives: bool
    summary: str


def compatibility(pending: Sequence[Migration]) -> Compatibility:
    """The declarations of what is pending, as one verdict.

    `expand` adds, and the serving revision does not notice; `contract` takes away what the serving revision has stopped
    to use; `breaking` takes away what it uses. After a breaking one the earlier revision must not serve before its schema
    is back.
    """
    declared = {migration.compatible for migration in pending}
    hardest = next((kind for kind in ("breaking", "contract", "expand") if kind in declared), None)
    if hardest == "breaking":
        which = ", ".join(migration.version for migration in pending if migration.compatible == "breaking")
        summary = f"the serving revision does not survive {which}: it fails from the migration until traffic has moved"
        return Compatibility(False, summary)
    summary = {
        None: "nothing is pending",
        "expand": "the serving revision survives: the migrations only add",
        "contract": "the serving revision survives: what goes is no longer used by it, but earlier revisions used it",
    }[hardest]
    return Compatibility(True, summary)
