"""`anchors`: the record still holds what was said of it outside. Nobody goes on behind an anchor.

Truncation, and a rewrite with the record's own key, show against nothing else (record-format, "Anchors").
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from pytest_deploy.anchors.anchoring import AnchorReading, RecordState, anchors_of, read_back, record_state
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
    known = read_back(anchors_of(facts.workspace, policy, log.store))
    state = record_state(log, known)
    return lambda _: judge(policy.anchors, state, known)


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
                "place": one.place,
                "size": one.newest.size if one.newest is not None else None,
                "root": base64.b64encode(one.newest.root).decode() if one.newest is not None else None,
                "problem": one.problem,
                "covers": one.covers,
            }
            for one in readings
        ],
    }
    if broken := [
        f"{one.place} {why}" for one in readings if one.newest and (why := _contradicted(record, one.newest))
    ]:
        return needs_action(NAME, inputs, "; ".join(broken), _VERIFY)
    if unread := [f"{one.place} could not be read back: {one.problem}" for one in readings if one.problem]:
        return needs_action(NAME, inputs, "; ".join(unread), "mend what it names, then ask again")
    enough = max((one.newest.size for one in readings if one.newest is not None and one.covers), default=0)
    reach = max((one.newest.size for one in readings if one.newest is not None), default=0)
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
    return [f"{one.place} ({one.newest.size} events)" for one in readings if one.newest is not None]
