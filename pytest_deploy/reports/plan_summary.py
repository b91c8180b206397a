"""A plan as Markdown, for a job's summary and for a comment on a pull request: what would go, what it does, what it still needs.

Read from the record alone, and from the commit's migrations where their bytes are those that were planned. Text of others is
code here, never markup: it opens no link, mentions nobody, ends no block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.readable_diff import readable
from pytest_deploy.migrate.trial_result import Trial, TrialStep
from pytest_deploy.pipeline.sequence import goes_on
from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.platform.infrastructure import DESTROYS, Preview
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import GateVerdict, RunDecided, RunOpened, StepFinished, StepNotRun, given
from pytest_deploy.record.plain_text import escape_hidden, escape_line
from pytest_deploy.record.planned import PLAN
from pytest_deploy.reports.format import utc

LARGEST_BYTES: Final = 60_000
"""GitHub takes 65,536 characters of a comment, and a megabyte of a summary."""
_SQL_LINES: Final = 120
_DIFF_LINES: Final = 80
_SIGNS: Final = {"create": "+", "import": "+"}
"""Of an operation of Pulumi's, as a difference shows it; what destroys has a minus, what changes a mark."""
_NOTE: Final = re.compile(r"-- (?P<note>locks .*|\d+ took [\d.]+ s)$", re.MULTILINE)


@dataclass(frozen=True)
class Planned:
    """What the record holds of one plan."""

    run: str
    events: Sequence[Event]
    """Its own, in order."""
    request: Mapping[str, Any] | None
    """What people are asked to sign; None where the plan made none."""
    request_sha256: str
    """Hex, of request.json; empty where there is none."""
    trial: Trial | None
    """How what is pending was tried; None where it was not, or nothing was pending."""
    difference: str
    """Of the schema, as planned, with times and locks; empty where there is none."""


def plan_summary(planned: Planned, migrations: Sequence[Migration], commands: Sequence[str]) -> str:
    """The plan as Markdown, within `LARGEST_BYTES`: where it is longer, the end is cut and that is said.

    Args:
        planned: from the record.
        migrations: the checkout's, for their SQL.
        commands: what to type next; left out where the request expires before it can start.
    """
    text = "\n".join(_lines(planned, migrations, commands)) + "\n"
    data = text.encode()
    if len(data) <= LARGEST_BYTES:
        return text
    whole = data[:LARGEST_BYTES].decode(errors="ignore").rpartition("\n")[0]
    open_fence = [line for line in whole.splitlines() if line.startswith("```")]
    closed = f"\n{open_fence[-1].rstrip('sqldif')}" if len(open_fence) % 2 else ""
    if whole.count("\n<details>") > whole.count("\n</details>"):
        closed += "\n\n</details>"
    return f"{whole}{closed}\n\n**Cut here**: the whole has {len(data)} bytes; the record holds all of it, run {_code(planned.run)}.\n"


def _lines(planned: Planned, migrations: Sequence[Migration], commands: Sequence[str]) -> Iterator[str]:
    opened = next(opened for _, opened in of_type(planned.events, RunOpened))
    decided = next((decided for _, decided in of_type(planned.events, RunDecided)), None)
    rehearsed = " (rehearsal: nothing here counts for real)" if opened.rehearsal else ""
    yield f"## Plan for {_code(opened.environment)}: {_code(opened.version)}{rehearsed}"
    yield ""
    yield from _request(planned, opened, decided)
    yield from _needed(planned, decided)
    yield from _migrations(planned, {migration.version: migration for migration in migrations})
    yield from _infrastructure(planned.request)
    if planned.request is None:
        return
    yield ""
    yield "### Next"
    yield ""
    start = None if decided is None else given(decided.earliest_start, None)
    if start is None or start >= datetime.fromisoformat(planned.request["expires"]):
        yield "Nothing to sign or to run: the request expires before it can start. Plan again when what is needed is there."
    else:
        yield from _block(commands)


def _request(planned: Planned, opened: RunOpened, decided: RunDecided | None) -> Iterator[str]:
    """What would go where, and in place of what."""
    request = planned.request
    rows = [("plan", f"{_code(planned.run)}: {'not decided' if decided is None else decided.outcome}")]
    if request is None:
        rows += [("request", "none was made"), ("commit", _code(opened.commit))]
    else:
        before = request["earlier"]["release"]
        rows += [
            ("request", f"{_code(request['run'])}, digest begins {_code(planned.request_sha256[:12])}"),
            ("commit", _code(request["commit"])),
            ("artefact", _code(request["artefact"]["image"])),
            ("written by", ", ".join(map(_code, request.get("authors", ()))) or "nobody who is named"),
            ("replaces", "nothing: the first release" if before is None else _code(before["version"])),
            ("expires", _code(request["expires"])),
        ]
    if opened.dirty:
        rows.append(("tree", "**differs from the commit**"))
    yield "| | |"
    yield "|---|---|"
    bar = "\\|"
    yield from (f"| {name} | {value.replace('|', bar)} |" for name, value in rows)
    yield ""


def _needed(planned: Planned, decided: RunDecided | None) -> Iterator[str]:
    """What stops it: steps that failed, gates that refuse; and from when it can go."""
    failed = [
        f"{title_of(step.nodeid)}: {(step.message or step.outcome).strip()}"
        for _, step in of_type(planned.events, StepFinished)
        if not goes_on(step.outcome, PLAN)
    ]
    not_run = [f"{title_of(step.nodeid)}: {step.cause}" for _, step in of_type(planned.events, StepNotRun)]
    refused = {
        verdict.gate: f"{verdict.gate}: {verdict.sentence}"
        for _, verdict in of_type(planned.events, GateVerdict)
        if verdict.verdict in {"refused", "still-needed"}
    }
    yield "### Still needed"
    yield ""
    owed = [str(one) for one in given(decided.owed, [])] if decided is not None else []
    needed = owed if planned.request is not None else [*failed, *refused.values(), *not_run]
    if planned.request is None and not needed and decided is not None and decided.cause:
        needed = [decided.cause]  # all steps passed, and what they looked at could not be asked for
    yield from (f"- {_code(' '.join(one.split()))}" for one in needed)
    if not needed:
        yield "Nothing."
    start = None if decided is None else given(decided.earliest_start, None)
    if planned.request is not None:
        yield ""
        yield f"Earliest start: {'not within a year' if start is None else _code(utc(start))}"
    yield ""


def _infrastructure(request: Mapping[str, Any] | None) -> Iterator[str]:
    """What the release's program would change of the stack."""
    yield "### Infrastructure"
    yield ""
    planned = None if request is None else request.get("infrastructure")
    if request is None:
        yield "Not known: the plan made no request."
    elif planned is None:
        yield "None is changed: deploy.yaml names none for this environment."
    elif not planned["changes"]:
        yield f"The stack stays as it is ({len(planned['earlier']['resources'])} resources)."
    else:
        changes = Preview.from_json(planned).changes
        yield f"Preview {_code(planned['digest'][:12])}: of {len(planned['earlier']['resources'])} resources that the stack holds, and new ones:"
        yield ""
        lines = [
            f"{_SIGNS.get(change.operation, '-' if change.operation in DESTROYS else '!')} {change}"
            for change in changes
        ]
        yield from _block(lines, language="diff", most=_DIFF_LINES)


def _migrations(planned: Planned, files: Mapping[str, Migration]) -> Iterator[str]:
    yield "### Migrations"
    yield ""
    request, trial = planned.request, planned.trial
    tried = {step.version: step for step in trial.steps} if trial is not None else {}
    if request is None:
        pending = [{"version": version, "name": "", "sha256": step.sha256} for version, step in tried.items()]
    else:
        applied = set(request["earlier"]["migrations"])
        pending = [one for one in request["migrations"] if one["version"] not in applied]
    if not pending:
        yield "None is pending: the schema stays as it is."
        yield ""
        return
    if trial is not None:
        yield from (f"- {_code(line)}" for line in (*trial.told, f"all together: {trial.together_s:.3f} s"))
    yield from (f"- {_code(match['note'])}" for match in _NOTE.finditer(planned.difference))
    yield ""
    for one in pending:
        yield from _migration(one, files.get(one["version"]), tried.get(one["version"]))
    changed = [line for line in readable(_NOTE.sub("", planned.difference)) if line.strip()]
    if changed:
        yield f"<details><summary>The schema afterwards: {len(changed)} lines</summary>"
        yield ""
        yield from _block(changed, language="diff", most=_DIFF_LINES)
        yield ""
        yield "</details>"
        yield ""


def _migration(one: Mapping[str, Any], file: Migration | None, tried: TrialStep | None) -> Iterator[str]:
    """One that is pending: what was declared, how its trial went, its SQL."""
    yield f"<details><summary>{_escaped(one['version'])} {_escaped(one['name'])}</summary>"
    yield ""
    if tried is not None:
        yield f"- up {tried.up_s:.3f} s, down {tried.down_s:.3f} s, and up again: schema and rows come back"
        yield from (f"- its way back takes {_code(lost)}" for lost in tried.lost)
        yield from (f"- tried without rows in {_code(table)}" for table in tried.without_rows)
    if file is None or file.sha256 != one["sha256"]:
        yield f"- its file is not here with the planned bytes (SHA-256 {_code(str(one['sha256'])[:12])})"
    else:
        kind = {"expand": "the running release survives it", "contract": "takes away what is no longer used"}
        yield f"- declared {_code(file.compatible)}: {kind.get(file.compatible, 'the running release does not survive it')}"
        if file.lossy:
            yield f"- declared lossy: {_code(' '.join(file.lossy.split()))}"
        if file.deviation:
            yield f"- outside a transaction: {_code(' '.join(file.deviation.split()))}"
        yield ""
        yield from _block(file.up.sql.strip("\n").splitlines(), language="sql", most=_SQL_LINES)
    yield ""
    yield "</details>"
    yield ""


# --- text of others


def _escaped(text: object) -> str:
    """Between two tags of HTML."""
    return re.sub(r"[^\w .:+-]", lambda match: f"&#{ord(match.group())};", escape_line(str(text)))


def _code(text: object) -> str:
    """A piece of code in a line, whatever it holds."""
    line = escape_line(str(text))
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{space}{line}{space}{fence}"


def _block(lines: Iterable[str], *, language: str = "", most: int = 0) -> Iterator[str]:
    """A block of code, fenced by more backticks than any of its lines holds in a row."""
    shown = [escape_hidden(line) for line in lines]
    rest = len(shown) - most if most else 0
    if rest > 0:
        shown = [*shown[:most], f"... {rest} lines more"]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{language}"
    yield from shown
    yield fence
