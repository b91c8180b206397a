"""`freeze`: the commit, or one it descends from, was not rolled back here and left unmended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pytest_deploy.gates.formatting import moment
from pytest_deploy.gates.verdict import Verdict, passes, to_mend
from pytest_deploy.record.clock import stamp

GATE = "freeze"


@dataclass(frozen=True)
class Frozen:
    """What holds this commit back."""

    since: datetime
    """UTC."""
    reason: str
    run: str
    """The run that froze it."""


def freeze(frozen: Frozen | None) -> Verdict:
    """Whether nothing froze what is to be deployed. Only a signed release of the environment, or a fix, lifts it."""
    if frozen is None:
        return passes(GATE, {"frozen": None}, "nothing froze this commit")
    return to_mend(
        GATE,
        {"frozen": {"since": stamp(frozen.since), "reason": frozen.reason, "run": frozen.run}},
        f"frozen by run {frozen.run} since {moment(frozen.since)}: {frozen.reason}",
        "deploy a commit that reverts or mends it, or have the freeze lifted by a signed release",
    )
