"""Tampering with the texts that runs were judged by: specification, policy, calendar, the suites' files, their lock, the roster."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import preimages
from pytest_deploy.record.event import Event, canonical
from tests.stories.tampered_record import TamperedRecord, exchange, flip, replaced_by_link
from tests.stories.tampering_with_verdicts import written_anew

SPECIFICATION = "spec/ops-deployment-automation.md"


def judged_by(it: TamperedRecord, name: str) -> Path:
    """A text by which the run that deployed was judged, which is named as the bad one."""
    it.named = preimages.place(_opened(it).data["preimages"][name])
    return it.store / it.named


def _opened(it: TamperedRecord) -> Event:
    return it.events[it.seq("run.opened")]


def altered(it: TamperedRecord) -> None:
    """The specification."""
    flip(judged_by(it, SPECIFICATION), 2000)


def deleted(it: TamperedRecord) -> None:
    """The calendar."""
    judged_by(it, "calendar.yaml").unlink()


def emptied(it: TamperedRecord) -> None:
    """Who might sign."""
    judged_by(it, "roster/roles.json").write_bytes(b"")


def swapped(it: TamperedRecord) -> None:
    """The policy in force and deploy.yaml: each is a text of the record, under the other's name."""
    one, other = judged_by(it, "policy.json"), judged_by(it, "deploy.yaml")
    it.named = min(path.relative_to(it.store).as_posix() for path in (one, other))
    exchange(one, other)


def of_another_step(it: TamperedRecord) -> None:
    """The steps of one phase in place of those of another."""
    shutil.copy(
        judged_by(it, "suites/smoke/test_api.py"), judged_by(it, "pytest_deploy/suites/preflight/test_gates.py")
    )


def linked(it: TamperedRecord) -> None:
    replaced_by_link(judged_by(it, "policy.json"), it.store.parent / "elsewhere")


def folder_linked(it: TamperedRecord) -> None:
    it.named = "preimages/"
    replaced_by_link(it.store / "preimages", it.store.parent / "elsewhere")


def all_deleted(it: TamperedRecord) -> None:
    it.named = preimages.place(min(preimages.named(it.events)))
    shutil.rmtree(it.store / "preimages")


def altered_and_renamed(it: TamperedRecord) -> None:
    """The steps that were planned: the text lies under its own digest again, and the run names another."""
    path = judged_by(it, "suites/steps.lock")
    flip(path, 20)
    path.rename(path.with_name(hashlib.sha256(path.read_bytes()).hexdigest()))


def under_a_title(it: TamperedRecord) -> None:
    """Added under the name that people know it by."""
    shutil.copy(judged_by(it, "policy.json"), it.store / "preimages/sha256/policy.json")
    it.named = "preimages/sha256/policy.json"


def moved(it: TamperedRecord) -> None:
    """Out of sha256/, under its digest all the same."""
    path = judged_by(it, SPECIFICATION)
    it.named = f"preimages/{path.name}"
    path.rename(it.store / it.named)


# --- the same with the log's own key


def _keep(it: TamperedRecord, text: bytes) -> str:
    """Lay a text where it belongs by its content; its SHA-256."""
    sha256 = hashlib.sha256(text).hexdigest()
    (it.store / preimages.place(sha256)).write_bytes(text)
    return sha256


def _judged_by_another(it: TamperedRecord, name: str, sha256: str, **changes: str) -> None:
    opened = _opened(it)
    named = {**opened.data["preimages"], name: sha256}
    written_anew(it, opened, data={**opened.data, **changes, "preimages": named})


def named_and_not_kept(it: TamperedRecord) -> None:
    it.named = preimages.place("0" * 64)
    _judged_by_another(it, SPECIFICATION, "0" * 64)


def another_policy(it: TamperedRecord) -> None:
    """One that asks nobody to approve; the request, which people signed, names the one that does."""
    policy = json.loads(judged_by(it, "policy.json").read_bytes())
    policy["approval"]["roles"] = []
    sha256 = _keep(it, canonical(policy).rstrip(b"\n"))
    changing = (e for e in it.events if e.type == "step.started" and e.run == it.of.run and e.data["changes"])
    it.named = entries.name(next(changing).seq)
    _judged_by_another(it, "policy.json", sha256, config_sha256=sha256)


# --- what is no tampering, or a record cannot show by itself


def unnamed(it: TamperedRecord) -> None:
    _keep(it, b"of a run that was refused right before it opened\n")


def another_specification(it: TamperedRecord) -> None:
    sha256 = _keep(it, b"1. It need not.\n")
    _judged_by_another(it, SPECIFICATION, sha256, spec_sha256=sha256)
