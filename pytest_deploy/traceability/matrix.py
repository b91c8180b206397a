"""Which assertion of the specification was checked by which step of a run, and how that ended."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

NOT_RUN = "not-run"
"""The outcome of a step that has a `step.not-run`, of a phase none of whose steps began, and of an assertion none of whose steps began."""


class VerifyingStep(Protocol):
    """What is asked of a step: what it verifies, and how it ended."""

    @property
    def outcome(self) -> str:
        """`passed`, NOT_RUN, or another."""

    @property
    def verifies(self) -> Sequence[str]:
        """The assertions it verifies, by name."""


StepT = TypeVar("StepT", bound=VerifyingStep)


@dataclass(frozen=True)
class Assertion(Generic[StepT]):
    """One assertion, e.g. `REQ-o00043-K`, and the steps that name it."""

    name: str
    steps: tuple[StepT, ...]

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


def assertions(steps: Iterable[StepT]) -> tuple[Assertion[StepT], ...]:
    """Every assertion that one of these steps names, by name; numbers in names count as numbers."""
    by_name: dict[str, list[StepT]] = {}
    for step in steps:
        for name in step.verifies:
            by_name.setdefault(name, []).append(step)
    return tuple(Assertion(name, tuple(by_name[name])) for name in sorted(by_name, key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
