"""Whether the revision that serves now survives the release's migrations, and in which order a rollback goes therefore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_deploy.migrate.migration import Compatible, Migration

Order = tuple[Literal["traffic", "database"], ...]


@dataclass(frozen=True)
class Compatibility:
    """What the authors' declarations amount to, for the plan."""

    declared: Compatible | None
    """The hardest of them; None where nothing is pending."""
    running_revision_survives: bool
    rollback_order: Order
    said: str
    """For people."""


def compatibility(todo: Sequence[Migration]) -> Compatibility:
    """The declarations of what is pending, as one verdict.

    `expand` adds, and the serving revision does not notice; `contract` takes away what the serving revision has stopped
    to use; `breaking` takes away what it uses. After a breaking one the earlier revision must not serve before its schema
    is back, so the database goes first; else traffic does.
    """
    declared = {migration.compatible for migration in todo}
    hardest = next((kind for kind in ("breaking", "contract", "expand") if kind in declared), None)
    if hardest == "breaking":
        which = ", ".join(migration.version for migration in todo if migration.compatible == "breaking")
        said = f"the serving revision does not survive {which}: it fails from the migration until traffic has moved"
        return Compatibility("breaking", False, ("database", "traffic"), said)
    said = {
        None: "nothing is pending",
        "expand": "the serving revision survives: the migrations only add",
        "contract": "the serving revision survives: what goes is no longer used by it, but earlier revisions used it",
    }[hardest]
    return Compatibility(hardest, True, ("traffic", "database"), said)
