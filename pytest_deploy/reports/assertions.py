"""When a requirement was exercised last, with what result, in which run: `history --requirement`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_deploy.history.history import Exercise, History
from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.events import StepFinished
from pytest_deploy.record.plain_text import escape_cell
from pytest_deploy.reports.format import aligned, positions
from pytest_deploy.traceability.register import covers, require_known


class Answer(NamedTuple):
    """What is said of one assertion."""

    assertion: str
    text: str
    """As the register has it; empty where it is not in there."""
    last: Exercise | None
    """None where no record holds one."""


def answers(history: History, asked: str, register: Mapping[str, str]) -> tuple[Answer, ...]:
    """When each assertion that is asked for was exercised last, in the register's order.

    Raises:
        UsageError: neither the register nor any record knows the id; it names close ones.
    """
    named = history.assertions()
    require_known(asked, {*register, *named})
    names = [name for name in (*register, *sorted(named - register.keys())) if covers(asked, name)]
    return tuple(Answer(name, register.get(name, ""), history.last_exercise(name)) for name in names)


def answer_object(answer: Answer) -> dict[str, Any]:
    """For a program."""
    said: dict[str, Any] = {"assertion": answer.assertion, "text": answer.text, "last": None}
    if (last := answer.last) is not None:
        said["last"] = {
            "result": last.result,
            "time": stamp(last.event.time),
            "store": last.source,
            "run": last.event.run,
            "step": _step_of(last),
            "event": last.event.seq,
            "file": entries.name(last.event.seq),
        }
    return said


def answer_table(about: Sequence[Answer]) -> Iterator[str]:
    """For a terminal; nothing where nothing was asked."""
    if not about:
        return
    rows = [("assertion", "last result", "when", "run", "step", "event")]
    for answer in about:
        if (last := answer.last) is None:
            rows.append((answer.assertion, "never exercised", "-", "-", "-", "-"))
        else:
            when, at = stamp(last.event.time)[:19] + "Z", positions((last.event.seq,))
            rows.append((answer.assertion, last.result, when, last.event.run, title_of(_step_of(last)), at))
    yield from aligned([rows[0], *(tuple(map(escape_cell, row)) for row in rows[1:])])
    yield ""
    if len(about) == 1 and about[0].text:
        yield from (escape_cell(about[0].text), "")


def _step_of(exercise: Exercise) -> str:
    content = exercise.event.content
    return content.nodeid if isinstance(content, StepFinished) else ""
