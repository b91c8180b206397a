"""Which assertion of the specification was checked by which step of this run, and how that ended."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from pytest_deploy.reports.run_summary import NOT_RUN, RunStory, StepStory


@dataclass(frozen=True)
class Assertion:
    """One assertion, e.g. `REQ-o00043-K`, and the steps that name it."""

    name: str
    steps: tuple[StepStory, ...]

    @property
    def outcome(self) -> str:
        """Passed where a step of it passed and none did otherwise; not-run where none began; failed else."""
        ran = {step.outcome for step in self.steps if step.outcome != NOT_RUN}
        if not ran:
            return NOT_RUN
        return "passed" if ran == {"passed"} else "failed"

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many of its steps ended how."""
        return tuple(sorted(Counter(step.outcome for step in self.steps).items()))


def assertions(story: RunStory) -> tuple[Assertion, ...]:
    """Every assertion that a step of this run names, by name; numbers in names count as numbers."""
    steps: dict[str, list[StepStory]] = {}
    for step in story.steps:
        for name in step.verifies:
            steps.setdefault(name, []).append(step)
    return tuple(Assertion(name, tuple(steps[name])) for name in sorted(steps, key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
