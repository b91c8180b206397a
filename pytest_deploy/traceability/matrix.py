"""Which assertion of the specification was checked by which step of a run, and how that ended."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

NOT_RUN = "not-run"
"""The outcome of a step that has a `step.not-run`, and of a phase none of whose steps began."""
_FAILED = frozenset({"failed", "error", "skipped", "unfinished"})


class VerifyingStep(Protocol):
    """What is asked of a step: how it ended, what it can exercise, and what it did."""

    @property
    def outcome(self) -> str:
        """`passed`, NOT_RUN, or another."""

    @property
    def claims(self) -> Sequence[str]:
        """The assertions it can exercise, by name."""

    @property
    def verifies(self) -> Sequence[str]:
        """Those of them that it exercised."""


StepT = TypeVar("StepT", bound=VerifyingStep)


@dataclass(frozen=True)
class Assertion(Generic[StepT]):
    """One assertion, e.g. `REQ-o00043-K`, and the steps that can exercise it."""

    name: str
    steps: tuple[StepT, ...]

    @property
    def outcome(self) -> str:
        """`failed` where a step of it failed; else `verified` where one exercised it; else `still-needed`, or `not-exercised`."""
        ended = {step.outcome for step in self.steps}
        if ended & _FAILED:
            return "failed"
        if any(self.name in step.verifies for step in self.steps):
            return "verified"
        return "still-needed" if "still-needed" in ended else "not-exercised"

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many of its steps ended how."""
        return tuple(sorted(Counter(step.outcome for step in self.steps).items()))


def assertions(steps: Iterable[StepT]) -> tuple[Assertion[StepT], ...]:
    """Every assertion that one of these steps names, by name; numbers in names count as numbers."""
    by_name: dict[str, list[StepT]] = {}
    for step in steps:
        for name in dict.fromkeys((*step.claims, *step.verifies)):
            by_name.setdefault(name, []).append(step)
    return tuple(Assertion(name, tuple(by_name[name])) for name in sorted(by_name, key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
