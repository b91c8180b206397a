"""report.html: one run for people, each value from its events up to `run.decided`.

A current report says besides what was recorded of the run afterwards, apart and marked as such; the sealed one does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_deploy.record.event import Event
from pytest_deploy.reports.response_times import series
from pytest_deploy.reports.attachments import Bound
from pytest_deploy.reports.deviations import deviations, overridden
from pytest_deploy.traceability.matrix import assertions
from pytest_deploy.reports.page import render
from pytest_deploy.reports.signatures import manifest
from pytest_deploy.reports.post_run import Since
from pytest_deploy.reports.run_summary import RunStory, tell
from pytest_deploy.reports.timeline import against_the_sla, rows
from pytest_deploy.reports.gate_results import ASKED, gate_rows
from pytest_deploy.reports.wording import OUTCOMES, meaning, said


def render_run(
    events: Sequence[Event], *, checkpoint: str, bound: Bound | None = None, after: Sequence[Event] | None = None
) -> str:
    """The report of one run, a self-contained HTML page.

    `events`: the run's own, up to `run.decided`, in order. `checkpoint`: the log's anchor line at the time of
    rendering, `tlog <origin> <size> <root>`. `bound`: the run's files that it shows. `after`: in a current report, the
    run's events since. Raises ValueError where no event opens the run, or the anchor line is none.
    """
    story = tell(events)
    bound = bound or Bound()
    origin, size, root = _anchor(checkpoint)
    since, departed = Since(after or ()), deviations(story)
    undecided = "abandoned" if story.of("run.abandoned") else "in progress"
    outcome = story.decided.get("outcome", undecided)
    return render(
        "run.html",
        {
            "story": story,
            "opened": story.opened,
            "outcome": outcome,
            "heading": OUTCOMES[outcome],
            "meaning": meaning(story),
            "rows": rows(story),
            "sla_bars": against_the_sla(story),
            "counts": _counts(story),
            "deviations": departed,
            "overridden": overridden(story.events),
            "signatures": manifest(story.events),
            "gates": gate_rows(story.events, bound.plan),
            "asked": ASKED,
            "chronology": [(event, text) for event in story.events if (text := said(event)) is not None],
            "serving": _serving(story),
            "newest": next((event.data["revision"] for event in story.of("revision.deployed")), None),
            "planned_migrations": (bound.request or {}).get("migrations", []),
            "schema_diff": bound.diff,
            "answers": series(story, bound.texts),
            "assertions": assertions(story),
            "raw": [(event, _pretty(event)) for event in story.events],
            "after": None if after is None else [(event, _pretty(event)) for event in after],
            "signing_namespace": f"deploy-approval@{origin.partition('/')[0]}",
            "after_signatures": manifest(after or ()),
            "since": since,
            "accepted": sum(bool(since.accepts(one)) for one in departed),
            "opened_seq": story.of("run.opened")[0].seq,
            "decided_seq": next((event.seq for event in story.of("run.decided")), None),
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
