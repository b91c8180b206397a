"""`anchors`: the record still holds what was said of it outside. Nobody goes on behind an anchor.

Truncation, and a rewrite with the record's own key, show against nothing else (record-format, "Anchors").
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from pytest_deploy.anchors.kinds import AnchorReading, RecordState, anchors_of, read_back, record_state
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Judge, Verdict, needs_action, not_asked_for, passes
from pytest_deploy.policy.storage import Anchors
from pytest_deploy.record.log_entry import Checkpoint

NAME = "anchors"
_VERIFY = "nothing goes until that is explained: keep everything as it is, and ask whoever keeps the anchors"
_AGAIN = "python deploy.py anchor ENV makes them now"


def gather(facts: GateFacts) -> Judge:
    """What each anchor knows, read back now, and the record as it is after that."""
    log, policy = facts.environment.log, facts.policy
    readings = read_back(anchors_of(facts.workspace, policy, log.store))
    state = record_state(log, readings)
    return lambda _: judge(policy.anchors, state, readings)


def judge(rule: Anchors, record: RecordState, readings: Sequence[AnchorReading]) -> Verdict:
    """Whether each anchor that can be read back holds; with `required`, whether one covers every run that was closed."""
    if not readings and not rule.required:
        return not_asked_for(NAME)
    inputs: dict[str, Any] = {
        "size": record.size,
        "closed": record.closed,
        "required": rule.required,
        "anchors": [
            {
                "place": reading.place,
                "size": reading.newest.size if reading.newest is not None else None,
                "root": base64.b64encode(reading.newest.root).decode() if reading.newest is not None else None,
                "problem": reading.problem,
                "covers": reading.covers,
            }
            for reading in readings
        ],
    }
    if broken := [
        f"{reading.place} {why}"
        for reading in readings
        if reading.newest and (why := _contradicted(record, reading.newest))
    ]:
        return needs_action(NAME, inputs, "; ".join(broken), _VERIFY)
    if unread := [
        f"{reading.place} could not be read back: {reading.problem}" for reading in readings if reading.problem
    ]:
        return needs_action(NAME, inputs, "; ".join(unread), "mend what it names, then ask again")
    enough = max(
        (reading.newest.size for reading in readings if reading.newest is not None and reading.covers), default=0
    )
    reach = max((reading.newest.size for reading in readings if reading.newest is not None), default=0)
    if rule.required and enough < record.closed:
        so_far = f"no anchor knows more than {enough} events" if enough else "no anchor of it can be read back"
        return needs_action(
            NAME,
            inputs,
            f"the record closed a run at {record.closed} events, and {so_far}: a cut would not show",
            _AGAIN,
        )
    if not reach:
        return passes(NAME, inputs, "no run was closed yet: there is nothing to anchor")
    return passes(NAME, inputs, f"the record holds what {', '.join(_reaches(readings))} know of it")


def _contradicted(record: RecordState, anchored: Checkpoint) -> str:
    """Why the record is not the one that was anchored; empty where it is."""
    if anchored.origin != record.origin:
        return f"knows a record {anchored.origin}, this is {record.origin}"
    if anchored.size > record.size:
        return f"knows {anchored.size} events, {record.size} are here: the record was cut"
    if record.roots.get(anchored.size) != anchored.root:
        return f"saw another root at {anchored.size} events: the record was rewritten"
    return ""


def _reaches(readings: Sequence[AnchorReading]) -> list[str]:
    return [f"{reading.place} ({reading.newest.size} events)" for reading in readings if reading.newest is not None]
