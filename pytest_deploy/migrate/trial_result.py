"""What a trial of migrations showed, and how it is kept: reused for exactly the same files from exactly the same schema.

REQ-o00044-F. Its JSON has the names of the fields; in the record it is `schema/rehearsal.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pytest_deploy.errors import Fault, MigrationsRefused
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.record import atomic_file


@dataclass(frozen=True)
class TrialStep:
    """What one migration did on the scratch database."""

    version: str
    sha256: str
    """Of the file."""
    up_s: float
    down_s: float
    lost: tuple[str, ...]
    """Tables and columns whose rows go with the down, declared."""


@dataclass(frozen=True)
class Trial:
    """A trial that passed. It speaks for these files from this schema, and for nothing else."""

    steps: tuple[TrialStep, ...]
    before: str
    """SHA-256 of the catalog text that it started from."""
    after: str
    """SHA-256 of the catalog text after all ups: `apply` commits no other."""
    together_s: float
    """All ups in one transaction, in seconds, on the scratch database's rows."""
    duration_s: float
    """Seconds of the whole trial."""
    without_rows: tuple[str, ...]
    """Tables that took no representative row: nothing is known about their rows."""
    within_budget: bool
    """Whether all ups together took no longer than the budget. REQ-o00044-T."""

    def speaks_for(self, migrations: Sequence[Migration], before: str) -> bool:
        """Whether exactly these files were tried, in this order, from the schema with this catalog digest."""
        files = [(migration.version, migration.sha256) for migration in migrations]
        return before == self.before and files == [(step.version, step.sha256) for step in self.steps]

    def to_json(self) -> str:
        """For keeping; `from_json` gives it back."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Trial:
        """What was kept. Raises MigrationsRefused where it is something else."""
        with suppress(ValueError, TypeError, KeyError):
            kept = json.loads(text)
            steps = tuple(TrialStep(**{**step, "lost": tuple(step["lost"])}) for step in kept["steps"])
            return cls(**{**kept, "steps": steps, "without_rows": tuple(kept["without_rows"])})
        fault = Fault("kept trial", None, "", "this is no trial's result", "try the migrations again")
        raise MigrationsRefused("trial", [fault])


class KeptTrials:
    """The folder in which trials that passed are kept, a private file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, todo: Sequence[Migration], before: str, *, budget_s: float) -> Trial | None:
        """The kept trial that speaks for `todo` from the schema with the catalog digest `before`, or None."""
        try:
            kept = Trial.from_json(self._file(todo, before).read_text(encoding="utf-8"))
        except (OSError, MigrationsRefused):
            return None
        # The budget may have changed since; the time it took has not.
        return replace(kept, within_budget=kept.together_s <= budget_s) if kept.speaks_for(todo, before) else None

    def keep(self, todo: Sequence[Migration], before: str, trial: Trial) -> None:
        """Keep a trial of `todo`; a reader sees all of it or nothing."""
        file = self._file(todo, before)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_file.overwrite(file, trial.to_json().encode(), mode=0o600)

    def _file(self, todo: Sequence[Migration], before: str) -> Path:
        bound = "".join([before, *(f"{one.version}:{one.sha256}" for one in todo)])
        return self._folder / f"{hashlib.sha256(bound.encode()).hexdigest()}.json"
