"""`anchors`: the record still holds what was said of it outside. Nobody goes on behind an anchor.

Truncation, and a rewrite with the record's own key, show against nothing else (record-format, "Anchors").
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from pytest_deploy.anchors.kinds import AnchorReading, RecordState, anchors_of, read_back, record_state
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, not_applicable
from pytest_deploy.policy.storage import Anchors
from pytest_deploy.record.log_entry import Checkpoint

NAME = "anchors"
_VERIFY = "nothing goes until that is explained: keep everything as it is, and ask whoever keeps the anchors"


def gather(facts: GateFacts) -> Judge:
    """What each anchor knows, read back now, and the record as it is after that."""
    log, policy = facts.environment.log, facts.policy
    readings = read_back(anchors_of(facts.workspace, policy, log.store))
    state = record_state(log, readings)
    again = facts.workspace.command_line("anchor")
    return lambda _: judge(policy.anchors, state, readings, again=again)


def judge(rule: Anchors, record: RecordState, readings: Sequence[AnchorReading], *, again: str) -> Verdict:
    """Whether each anchor that can be read back holds; with `required`, whether one covers every run that was closed.

    `again` is the command that makes them.
    """
    if not readings and not rule.required:
        return not_applicable(NAME)
    known = [(reading.place, reading.newest) for reading in readings if reading.newest is not None]
    shown = [
        {
            "place": reading.place,
            "size": None if reading.newest is None else reading.newest.size,
            "root": None if reading.newest is None else base64.b64encode(reading.newest.root).decode(),
            "problem": reading.problem,
            "covers": reading.covers,
        }
        for reading in readings
    ]
    inputs = {"size": record.size, "closed": record.closed, "required": rule.required, "anchors": shown}
    grounds = Grounds(NAME, inputs)
    if broken := [f"{place} {why}" for place, newest in known if (why := _contradicted(record, newest))]:
        return grounds.needs_action("; ".join(broken), _VERIFY)
    if unread := [
        f"{reading.place} could not be read back: {reading.problem}" for reading in readings if reading.problem
    ]:
        return grounds.needs_action("; ".join(unread), "mend what it names, then ask again")
    enough = max((reading.newest.size for reading in readings if reading.newest and reading.covers), default=0)
    if rule.required and enough < record.closed:
        so_far = f"no anchor knows more than {enough} events" if enough else "no anchor of it can be read back"
        return grounds.needs_action(
            f"the record closed a run at {record.closed} events, and {so_far}: a cut would not show",
            f"make them now: `{again}`",
        )
    if not any(newest.size for _, newest in known):
        return grounds.not_applicable("no run was closed yet: there is nothing to anchor")
    reaches = ", ".join(f"{place} ({newest.size} events)" for place, newest in known)
    return grounds.passes(f"the record holds what {reaches} know of it")


def _contradicted(record: RecordState, anchored: Checkpoint) -> str:
    """Why the record is not the one that was anchored; empty where it is."""
    if anchored.origin != record.origin:
        return f"knows a record {anchored.origin}, this is {record.origin}"
    if anchored.size > record.size:
        return f"knows {anchored.size} events, {record.size} are here: the record was cut"
    if record.roots.get(anchored.size) != anchored.root:
        return f"saw another root at {anchored.size} events: the record was rewritten"
    return ""
