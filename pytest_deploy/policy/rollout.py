"""How a deployment proceeds, how it is watched, and how it is undone."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pytest_deploy.policy.types import Count, Seconds, Section, Text, complaint

_ALL = 100
"""Percent."""


class Traffic(Section):
    """How requests move to the new revision."""

    steps_percent: Annotated[tuple[int, ...], Field(min_length=1)] = (100,)
    """rising percents that end at 100, e.g. [10, 50, 100]"""
    settle_s: Annotated[float, Field(ge=0)] = 0
    """seconds between two steps"""

    @property
    def settling_s(self) -> float:
        """Seconds spent between steps in all."""
        return self.settle_s * (len(self.steps_percent) - 1)

    @model_validator(mode="after")
    def _rises_to_all(self) -> Self:
        rising = (0, *self.steps_percent)
        if rising[-1] != _ALL or any(after <= before for before, after in pairwise(rising)):
            raise complaint(
                f"{list(self.steps_percent)} does not rise from above 0 to 100",
                "give rising percents that end at 100, e.g. [10, 50, 100]",
                at="steps_percent",
            )
        return self


class Smoke(Section):
    """REQ-o00043-H: the smoke tests' budgets."""

    budget_s: Seconds = 180
    """seconds for all of them together"""
    query_s: Seconds = 2
    """seconds the simple query may take"""


class Health(Section):
    """REQ-o00043-L: the watch after traffic has moved."""

    watch_s: Seconds
    """seconds the service is watched, e.g. 900"""
    interval_s: Seconds
    """seconds between two samples"""
    allow_failures: Count = 0
    """how many samples may fail"""

    @model_validator(mode="after")
    def _can_fail(self) -> Self:
        samples = int(self.watch_s / self.interval_s)
        if samples < 1:
            raise complaint(
                f"a sample every {self.interval_s:g} s gives none in {self.watch_s:g} s",
                "give an interval_s of at most watch_s",
                at="interval_s",
            )
        if self.allow_failures >= samples:
            raise complaint(
                f"all of the {samples} samples may fail, so that the watch proves nothing",
                f"allow at most {samples - 1} failures",
                at="allow_failures",
            )
        return self


class Rollback(Section):
    """How a deployment is undone, and who may ask for it (REQ-o00043-I, REQ-o00044-H)."""

    order: Literal["traffic-first", "database-first"] = "traffic-first"
    """traffic-first (the old revision serves before the schema goes back) or database-first"""
    budget_s: Seconds = 300
    """seconds it may take"""
    roles: tuple[Text, ...] = ()
    """one role for each signature a requested rollback needs, e.g. [Tech Lead]"""
    ticket: bool = False
    """true where a requested rollback must give a reason and a ticket"""
