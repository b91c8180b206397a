"""A step as the pipeline knows it before it runs: one line of suites/steps.lock.

Example line: `smoke  always  -  suites/smoke/test_api.py::test_health_answers_200`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

When = Literal["always", "rollback", "earlier"]
"""always: must pass. rollback: runs only to undo a change. earlier: a rollback step that needs an earlier release."""

WHENS: tuple[When, ...] = get_args(When)


@dataclass(frozen=True)
class Step:
    """One step of one phase."""

    nodeid: str
    phase: str
    when: When
    changes: bool
    """Whether it changes the environment; announced in the log before it acts."""
    verifies: tuple[str, ...] = field(default=(), compare=False)
    """The assertions it verifies, as far as its collection is known: the lock does not name them."""

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Step:
        """From `to_json`."""
        return cls(**{**value, "verifies": tuple(value["verifies"])})

    def to_json(self) -> dict[str, Any]:
        """What a worker tells the controller of a step it collected."""
        return {**asdict(self), "verifies": list(self.verifies)}

    @property
    def file(self) -> str:
        """The file part of the node id."""
        return self.nodeid.partition("::")[0]

    @property
    def title(self) -> str:
        """The step's claim in words, from its name: `test_health_answers_200` reads `health answers 200`."""
        return title_of(self.nodeid)


def title_of(nodeid: str) -> str:
    """The claim in a node id, in words."""
    name, bracket, parameters = nodeid.rpartition("::")[2].partition("[")
    words = name.removeprefix("test_").replace("_", " ")
    return f"{words} [{parameters}" if bracket else words
