"""Who is told of what, and where (specification, workflow definitions: notify team; rollback procedures: notify team)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pytest_deploy.policy.types import Line, Section, VariableName

Occasion = Literal[
    "started", "approval-needed", "approval-expires", "succeeded", "failed", "rolled-back", "needs-a-person", "alert"
]


class Route(Section):
    """Who is told, of what, and where."""

    to: Line
    """who is told, as the record names it, e.g. team or QA; each name once"""
    occasions: Annotated[tuple[Occasion, ...], Field(min_length=1)]
    """what they are told of, e.g. [succeeded, failed, rolled-back, needs-a-person]"""
    url_variable: VariableName
    """the environment variable that holds the channel's address in Apprise's form, which is a secret, e.g. TEAM_CHANNEL_URL"""


def _named_once(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    names = [route.to for route in routes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} is there twice; give each route a name of its own")
    return routes


Routes = Annotated[tuple[Route, ...], AfterValidator(_named_once)]
