"""Standard steps that an environment does without, each with the project's own step in its place, and why.

A deviation from what this package promises: reviewed in deploy.yaml, signed with the request, and shown in the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from pytest_deploy.policy.types import Section, Text, complaint

STANDARD: Final = "pytest_deploy/suites/"
"""What the node id of a standard step begins with: its file as it lies in the wheel."""
REPLACEABLE: Final = ("build", "smoke", "health")
"""The phases whose standard steps a project may replace: what permits, changes or undoes stays as it is."""


class ReplacedStep(Section):
    """What stands in place of a standard step."""

    by: Annotated[Text, Field(pattern=r"^suites/.+::")]
    """the project's own step, of the same phase, by node id, e.g. 'suites/smoke/test_pool.py::test_pool_answers_in_time'"""
    reason: Annotated[Text, Field(min_length=10)]
    """why, in a sentence: it stands in the report as a deviation"""

    @staticmethod
    def phase_of(nodeid: str) -> str:
        """The phase of a standard step."""
        return nodeid.removeprefix(STANDARD).partition("/")[0]


def is_standard(nodeid: str) -> bool:
    """Whether a step is one of this package's own."""
    return nodeid.startswith(STANDARD)


def _may_be_replaced(steps: Mapping[str, ReplacedStep]) -> Mapping[str, ReplacedStep]:
    for nodeid in steps:
        if not is_standard(nodeid) or "::" not in nodeid or ".." in nodeid:
            raise complaint(
                f"{nodeid} is no standard step",
                f"right is a node id as suites/steps.lock has it, beginning with {STANDARD}",
            )
        if (phase := ReplacedStep.phase_of(nodeid)) not in REPLACEABLE:
            raise complaint(
                f"{nodeid}: a standard step of {phase} cannot be replaced",
                f"only those of {', '.join(REPLACEABLE)} can: what permits, changes or undoes stays as it is",
            )
    return steps


ReplacedSteps = Annotated[Mapping[str, ReplacedStep], AfterValidator(_may_be_replaced)]
"""Standard step, by node id -> what stands in its place."""
