"""A start that was refused: what people read of it. Gates that refuse an approved request, and drift, leave a page in the run's folder.

Like a run's report the page is made from the run's own events and what they name. No list of files binds it before that run
is sealed; what it says stands in the signed events. Where nothing was judged of a request, nothing is left to be read.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from pytest_deploy.errors import DeployError, Refused, RequestRefused
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.bucket import copy_of
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import GateRefused, GateVerdict, RequestMade, RequestVoided
from pytest_deploy.record.log_entry import parse_anchor
from pytest_deploy.record.run_folder import REFUSED, RunFolder
from pytest_deploy.record.run_id import workspace_of
from pytest_deploy.reports import index
from pytest_deploy.reports.evidence import attempt
from pytest_deploy.reports.page import render
from pytest_deploy.reports.run_page import GATE_POINTS, PageFiles, gate_results, page_files
from pytest_deploy.reports.run_summary import OUTCOMES
from pytest_deploy.reports.seal import Line, fact_lines
from pytest_deploy.reports.signatures import PostRun, manifest
from pytest_deploy.workspace import verify_command


@dataclass(frozen=True)
class RefusedStart:
    """The newest start of a request, from its run's events up to the refusal."""

    events: Sequence[Event]

    @property
    def run(self) -> str:
        return self.events[0].run

    @cached_property
    def made(self) -> tuple[Event, RequestMade]:
        """Raises ValueError where no event makes the request."""
        for made in of_type(self.events, RequestMade):
            return made
        raise ValueError("no request.made among the events: there is nothing that could have been refused")

    @property
    def voided(self) -> RequestVoided | None:
        """Where what was approved is not what would run now."""
        return next((void for _, void in of_type(self.events, RequestVoided)), None)

    @property
    def outcome(self) -> str:
        return "refused" if self.voided is None else "voided"

    @property
    def verdicts(self) -> tuple[tuple[Event, GateVerdict], ...]:
        """Of each gate the newest: a start asks them all. None where the request drifted before they were asked."""
        newest = {verdict.gate: (event, verdict) for event, verdict in of_type(self.events, GateVerdict)}
        return tuple(sorted(newest.values(), key=lambda one: one[0].seq)) if self.voided is None else ()

    @property
    def refusals(self) -> tuple[tuple[Event, GateVerdict], ...]:
        return tuple((event, verdict) for event, verdict in self.verdicts if isinstance(verdict, GateRefused))

    @property
    def started_by(self) -> str:
        """As the gate `deployer` was told; empty where policy does not ask for it."""
        return next(
            (str(verdict.inputs.get("who", "")) for _, verdict in self.verdicts if verdict.gate == "deployer"), ""
        )

    @property
    def may_pass_at(self) -> datetime:
        """An instant, by the clock of the gates, at which time refuses no more."""
        waits = [verdict.earliest_start for _, verdict in self.refusals if verdict.earliest_start is not None]
        return max([self.events[-1].instant, *waits]) + timedelta(seconds=1)

    def of(self, *types: str) -> tuple[Event, ...]:
        return tuple(event for event in self.events if event.type in types)


def render_refused_start(
    events: Sequence[Event], *, checkpoint: str, again: str, files: PageFiles | None = None
) -> str:
    """The page of one refused start, self-contained.

    Args:
        events: The run's own up to the refusal, in order.
        checkpoint: The log's anchor line at the time of rendering.
        again: The command that starts the request again or, where it is void, plans anew.
        files: The request, and the events of the plan that made it.

    Raises:
        ValueError: No event makes a request, or the anchor line is none.
    """
    start, files = RefusedStart(events), files or PageFiles()
    event, made = start.made
    workspace = workspace_of(start.run)
    release = (files.request or {}).get("version") or made.version or "of this request"
    heading, meaning = OUTCOMES[start.outcome]
    values: Mapping[str, Any] = {
        "start": start,
        "summary": start,
        "never_opened": True,
        "made": made,
        "asked_at": event.time,
        "environment": workspace.environment,
        "rehearsal": workspace.rehearsal,
        "heading": heading,
        "meaning": meaning.format(release=f"Release {release}", environment=workspace.environment),
        "again": again,
        "planned_migrations": (files.request or {}).get("migrations", []),
        "signatures": manifest(events),
        "gates": gate_results(files.plan, events),
        "gate_points": GATE_POINTS,
        "post_run": PostRun(),
        "after": None,
        "after_signatures": (),
        "checkpoint": parse_anchor(checkpoint),
    }
    return render("refused.html", values, running_foot=start.run)


def report_refusal(environment: Environment, context: RunContext, error: DeployError, *, took_s: float) -> list[Line]:
    """Leave what people read of a start that came to nothing, and say where it lies.

    What cannot be rendered is said, and changes neither the refusal nor its exit code.
    """
    lines: list[Line] = [
        (f"{outcome_of(error)} in {took_s:.1f} s · exit {error.exit_code}", {"bold": True, "red": True})
    ]
    if not isinstance(error, RequestRefused):
        return lines
    workspace, log = environment.workspace, environment.log
    events = log.run(context.run)
    name = f"{REFUSED}/{events[-1].seq:08d}.html"
    folder = RunFolder(log.store, context.run)

    def page() -> None:
        files = page_files(folder.path, events, log.run)
        again = start_again(context, RefusedStart(events))
        text = render_refused_start(events, checkpoint=log.checkpoint(), again=again, files=files)
        folder.create(name, environment.redact_file(text.encode()))

    place = f"{workspace.shown(workspace.run_folder(context.run))}/{name}"
    shown = place if attempt(name, page) else "could not be rendered"
    lines += [(fault, {"red": True}) for fault in index.write(workspace.reports)]
    lines += fact_lines(
        {
            "report": shown,
            "anchor": log.checkpoint(),
            "record": copy_of(workspace.store),
            "verify": verify_command(workspace.store),
        }
    )
    return lines


def outcome_of(error: DeployError) -> str:
    """What a start that an error ended came to, in a word or two."""
    return "refused" if isinstance(error, Refused) else "not started"


def start_again(context: RunContext, start: RefusedStart) -> str:
    """The command that starts the request again, as it was planned; where it is void, the one that plans anew."""
    words = [f"--deploy-env={context.workspace.environment}", *(f"--deploy-set={setting}" for setting in context.sets)]
    if context.rehearsal:
        words += ["--deploy-rehearse", f"--deploy-at={start.may_pass_at:%Y-%m-%dT%H:%M:%SZ}"]
    words.append(f"--deploy-run={start.run}" if start.voided is None else "--deploy-pipeline=plan")
    # A line each: one that wraps on paper is another command.
    return " \\\n  ".join(shlex.quote(word) for word in ["pytest", *words])
