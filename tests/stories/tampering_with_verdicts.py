"""Going on with a log with its own key, and no key of a person: what it then says of people and gates, nothing else says.

Each event is legal in its place and signed by the log; nothing else is touched that would show it.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import Event
from tests.stories.tampered_record import TamperedRecord
from tests.stories.tampering_with_log import anchored_anew

_LEFT_OUT = frozenset({"approval.signed", "lease.renewed", "anchor.made"})


def deployed_unapproved(it: TamperedRecord) -> None:
    """The run that deployed, once more under another name, event for event, without what people signed."""
    run = f"{it.of.run[:-4]}ffff"
    folder = it.store / "runs" / run
    shutil.copytree(it.store / "runs" / it.of.run, folder, ignore=shutil.ignore_patterns("approvals", "SHA256SUMS"))
    seq, time = it.size, it.events[-1].time
    fence = 0
    for event in [event for event in it.events if event.run == it.of.run and event.type not in _LEFT_OUT]:
        data = dict(event.data)
        if event.type == "lease.taken":
            fence = seq
        elif event.type == "lease.released":
            data["fence"] = fence
        elif event.type == "run.closed":
            data |= {"record": f"runs/{run}", "record_sha256": _seal(folder)}
        elif event.type == "gate.passed" and data["gate"] == "approvals" and not it.named:
            it.named = entries.name(seq)
        it.forge(seq, it.insider(), type=event.type, run=run, actor=event.actor, data=data, time=time)
        seq += 1


def _seal(folder: Path) -> str:
    """SHA256SUMS of a folder, written; its own SHA-256."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    sums = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text(sums)
    return hashlib.sha256(sums.encode()).hexdigest()


def _before_the_change(it: TamperedRecord, gate: str) -> Event:
    """A gate's verdict right before the first change of the run that deployed."""
    asked = (e for e in it.events if e.type == "gate.passed" and e.run == it.of.run and e.data["point"] == "change")
    return next(event for event in asked if event.data["gate"] == gate)


def written_anew(it: TamperedRecord, begun: Event, **changes: Any) -> None:
    """One event changed, all after it signed anew, the anchors in the record too."""
    for seq in range(begun.seq, it.size):
        event = it.events[seq]
        also = {"data": anchored_anew(it, event.data)} if event.type == "anchor.made" else {}
        it.forge(seq, it.insider(), **(changes if seq == begun.seq else also))


def approved_by_other_people(it: TamperedRecord) -> None:
    """Under the right roles, and of people who signed nothing."""
    verdict = _before_the_change(it, "approvals")
    it.named = entries.name(verdict.seq)
    filled = {role: f"another.{person}" for role, person in verdict.data["inputs"]["filled"].items()}
    written_anew(it, verdict, data={**verdict.data, "inputs": {**verdict.data["inputs"], "filled": filled}})


def window_not_asked(it: TamperedRecord) -> None:
    """Another gate answers twice in its place."""
    verdict, other = _before_the_change(it, "window"), _before_the_change(it, "clock")
    changing = (e for e in it.events if e.type == "step.started" and e.run == it.of.run and e.data["changes"])
    it.named = entries.name(next(changing).seq)
    written_anew(it, verdict, data=other.data)


def window_without_a_rule(it: TamperedRecord) -> None:
    """The verdict of a gate for which policy has a rule says that there is none."""
    verdict = _before_the_change(it, "window")
    changing = (e for e in it.events if e.type == "step.started" and e.run == it.of.run and e.data["changes"])
    it.named = entries.name(next(changing).seq)
    written_anew(it, verdict, type="gate.not-applicable", data={**verdict.data, "verdict": "not-applicable"})


def overridden_by_nobody(it: TamperedRecord) -> None:
    """Two people are said to have answered for the window, and neither signed that."""
    verdict = _before_the_change(it, "window")
    it.named = entries.name(verdict.seq)
    by = sorted(_before_the_change(it, "approvals").data["inputs"]["filled"].values())
    override = {"by": by, "refused": "closed", "until": "2026-11-24T23:00:00.000Z"}
    written_anew(it, verdict, data={**verdict.data, "inputs": {**verdict.data["inputs"], "override": override}})
