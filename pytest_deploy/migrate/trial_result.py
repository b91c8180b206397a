"""What a trial showed. Its JSON has the names of the fields; in the record it is `schema/rehearsal.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import msgspec

from pytest_deploy.errors import Fault, MigrationsRefused
from pytest_deploy.migrate.trial_place import Where, told_place


@dataclass(frozen=True)
class TrialStep:
    version: str
    sha256: str
    """Of the file."""
    up_s: float
    down_s: float
    lost: tuple[str, ...]
    """Tables and columns whose rows go with the down, declared."""
    schema: str = ""
    """SHA-256 of the catalog text after its up: what a batch that ends with it commits."""
    without_rows: tuple[str, ...] = ()
    """Tables whose rows were left out: it failed on nothing but rows that the trial had made up."""


@dataclass(frozen=True)
class Trial:
    """A trial that passed, of these files from this schema."""

    steps: tuple[TrialStep, ...]
    before: str
    """SHA-256 of the catalog text that it started from."""
    after: str
    """SHA-256 of the catalog text after all ups."""
    together_s: float
    """All ups in one transaction, in seconds, on the scratch database's rows."""
    duration_s: float
    """Seconds of the whole trial."""
    without_rows: tuple[str, ...]
    """Tables that took no representative row, at the end or for one of the steps: nothing is known about their rows."""
    within_budget: bool
    """Whether all ups together took no longer than the budget. REQ-o00044-T."""
    where: Where | None = None
    """In a server of its own, or beside the target; None where nothing was pending."""
    why: str = ""
    """There, in words."""

    @property
    def told(self) -> tuple[str, ...]:
        """What whoever reads the result is to know, a sentence a line: where it was, and what was tried without rows."""
        if self.where is None:
            return ()
        lines = [f"tried {told_place(self.where, self.why)}"]
        for step in self.steps:
            if step.without_rows:
                tables = ", ".join(step.without_rows)
                lines.append(
                    f"{step.version} was tried without rows in {tables}: it failed on rows that the trial made up; "
                    "database.seeds would have it tried with rows of your own"
                )
        return tuple(lines)

    def schemas(self) -> dict[str, str]:
        """By version the SHA-256 of the catalog text that its up reaches: `apply` commits no other."""
        ends = {step.version: step.schema for step in self.steps}
        return ends | ({self.steps[-1].version: self.after} if self.steps else {})

    def to_json(self) -> str:
        """For the record; `from_json` gives it back."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Trial:
        """What was attached. Raises MigrationsRefused where it is something else."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError:
            fault = Fault("attached trial", None, "", "this is no trial's result", "try the migrations again")
            raise MigrationsRefused("trial", [fault]) from None
