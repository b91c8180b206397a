"""What became of each requirement in a run: verified, failed, still needed or not exercised, and by which step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal, Protocol, TypeVar

from pytest_deploy.traceability.requirement_id import is_standard

NOT_RUN = "not-run"
"""The outcome of a step that has a `step.not-run`, and of a phase none of whose steps began."""
FAILED: Final = frozenset({"failed", "error", "skipped", "unfinished"})
"""The outcomes of a step that began and is neither passed, still needed nor not applicable."""

AssertionResult = Literal["verified", "failed", "still-needed", "not-exercised"]


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


def result_in(step: VerifyingStep, assertion: str) -> AssertionResult:
    """What one step says of an assertion that it names."""
    if step.outcome in FAILED:
        return "failed"
    if assertion in step.verifies:
        return "verified"
    return "still-needed" if step.outcome == "still-needed" else "not-exercised"


@dataclass(frozen=True)
class Assertion(Generic[StepT]):
    """One assertion, e.g. `REQ-o00043-K`, and the steps that can exercise it."""

    name: str
    steps: tuple[StepT, ...]
    text: str = ""
    """As the register has it; empty where it is not in there."""

    @property
    def standard(self) -> bool:
        """Whether the program's own standard steps name it, in every project."""
        return is_standard(self.name)

    @property
    def outcome(self) -> AssertionResult:
        """`failed` where a step of it failed; else `verified` where one exercised it; else `still-needed`, or `not-exercised`."""
        results = {result_in(step, self.name) for step in self.steps}
        order: tuple[AssertionResult, ...] = ("failed", "verified", "still-needed")
        return next((result for result in order if result in results), "not-exercised")


def assertions(steps: Iterable[StepT], register: Mapping[str, str]) -> tuple[Assertion[StepT], ...]:
    """Every assertion of the register, in its order, exercised or not; then those that these steps name besides, by name."""
    by_name: dict[str, list[StepT]] = {name: [] for name in register}
    for step in steps:
        for name in dict.fromkeys((*step.claims, *step.verifies)):
            by_name.setdefault(name, []).append(step)
    besides = sorted(by_name.keys() - register.keys(), key=_natural)
    return tuple(Assertion(name, tuple(by_name[name]), register.get(name, "")) for name in (*register, *besides))


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in names count as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
