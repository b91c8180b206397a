"""What the service printed last, beside a step that failed on it.

A step is known to ask the service by a fixture of its own that is a `Service`; the address of that one tells which revision
answered. What it printed is the service's own text: it is cut of secrets as everything is, and where the environment's rows
may be subjects' no line of it is shown, only where it lies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

import pytest

from pytest_deploy.errors import DeployError
from pytest_deploy.platform.clients import Service
from pytest_deploy.platform.environment import Environment
from pytest_deploy.platform.protocol import LastOutput

LINES: Final = 20
_BYTES: Final = 3000
"""Of an event's line, of 65,535, about as many for these lines."""
TITLE: Final = "What the service printed last"
_ADDRESS: Final = pytest.StashKey[str]()


def remember_service(node: pytest.Item | pytest.Collector, value: object) -> None:
    """Keep whom the steps below a node ask, where this value of a fixture says it."""
    if isinstance(value, Service):
        node.stash[_ADDRESS] = value.url


def service_output(environment: Environment, item: pytest.Item) -> tuple[str, str] | None:
    """A section of the step's report: its title and what the revision that was asked printed last; None where none was asked."""
    asked = [node.stash[_ADDRESS] for node in item.listchain() if _ADDRESS in node.stash]
    if not asked:
        return None
    try:
        runtime = environment.platform.runtime
        revision = runtime.state().revision_at(asked[-1])
        if revision is None:
            return TITLE, f"not read: no single revision answers at {asked[-1]}"
        said = runtime.last_output(revision, LINES)
    except (DeployError, OSError) as error:  # the step's own failure is the news
        return TITLE, environment.redact(f"not read: {error}")
    shown = _shown(said, held_back=environment.holds_subjects)
    return f"{TITLE} ({revision})", environment.redact(shown)


def told(reports: Iterable[pytest.TestReport]) -> str:
    """The same as it stands below a step's message; empty where no report of the step has it."""
    sections = (section for report in reports for section in report.sections if section[0].startswith(TITLE))
    return next((f"\n{title}:\n{text}" for title, text in sections), "")


def _shown(said: LastOutput, *, held_back: bool) -> str:
    if not said.lines:
        return f"no line is read here; see {said.place}"
    if held_back:
        return f"its last lines are held back, for they may hold a subject's data; they lie in {said.place}"
    lines = [*said.lines, f"(the end of {said.place})"]
    while len(json.dumps(lines)) > _BYTES and len(lines) > 1 + 1:  # what was printed last says most
        del lines[0]
    return "\n".join(lines)
