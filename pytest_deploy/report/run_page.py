"""report.html: one run for people, each value from its events up to `run.decided`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_deploy.record.event import Event
from pytest_deploy.report.page import render
from pytest_deploy.report.story import RunStory, tell
from pytest_deploy.report.timeline import rows
from pytest_deploy.report.words import OUTCOMES, meaning, said


def render_run(events: Sequence[Event], *, checkpoint: str, request: Mapping[str, Any] | None = None) -> str:
    """The report of one run, a self-contained HTML page.

    `events`: the run's own, up to `run.decided`, in order. `checkpoint`: the log's anchor line at the time of
    rendering, `tlog <origin> <size> <root>`. `request`: the content of request.json, where there is one.
    Raises ValueError where no event opens the run, or the anchor line is none.
    """
    story = tell(events)
    origin, size, root = _anchor(checkpoint)
    return render(
        "run.html",
        {
            "story": story,
            "opened": story.opened,
            "outcome": story.decided.get("outcome", "in progress"),
            "heading": OUTCOMES[story.decided.get("outcome", "in progress")],
            "meaning": meaning(story),
            "rows": rows(story),
            "counts": _counts(story),
            "chronology": [(event, text) for event in story.events if (text := said(event)) is not None],
            "serving": _serving(story),
            "planned_migrations": (request or {}).get("migrations", []),
            "raw": [(event, _pretty(event)) for event in story.events],
            "checkpoint": checkpoint,
            "origin": origin,
            "size": size,
            "root": root,
            "last_event": f"{int(size) - 1:08d}.event",
        },
        running_foot=story.run,
    )


def _anchor(line: str) -> tuple[str, str, str]:
    words = line.split()
    if len(words) != 4 or words[0] != "tlog" or not words[2].isdecimal():  # noqa: PLR2004  the words of an anchor line
        raise ValueError(f"{line!r} is no anchor line; right is: tlog <origin> <size> <root>")
    return words[1], words[2], words[3]


def _counts(story: RunStory) -> list[tuple[str, int]]:
    """How many steps ended how, most wanted first; outcomes that did not occur are left out but for passed."""
    order = ("passed", "failed", "error", "skipped", "unfinished", "not-run")
    counted = [(outcome, sum(step.outcome == outcome for step in story.steps)) for outcome in order]
    return [(outcome, number) for outcome, number in counted if number or outcome == "passed"]


def _serving(story: RunStory) -> Mapping[str, Any]:
    """The traffic after the last move; empty where none moved."""
    moves = story.of("traffic.moved")
    return moves[-1].data["after"] if moves else {}


def _pretty(event: Event) -> str:
    return json.dumps(event.data, sort_keys=True, ensure_ascii=True)
