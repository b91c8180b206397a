"""`retention`: the bucket that holds the record keeps it as long as policy says, and whoever writes it cannot end that.

Judged by what the storage API tells right now, never by what somebody configured (REQ-o00043-Q).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from pytest_deploy.errors import DeployError
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Unavailable, Verdict, moment
from pytest_deploy.policy.storage import Retention
from pytest_deploy.record.bucket import BucketRetention, MirroredStore
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.store import Store

NAME = "retention"
DAY_S = 86_400


def gather(facts: GateFacts) -> Judge:
    """How the place of the record keeps it, read back now."""
    place, holding = read_holding(facts.environment.log.store, facts.workspace.root)
    return partial(
        judge, facts.policy.retention, place=place, holding=holding, replaced=bool(facts.policy.replaced("retention"))
    )


def read_holding(store: Store, root: Path) -> tuple[str, BucketRetention | Unavailable | None]:
    """Where a record lies, and how that place keeps it, read back now; None for a folder."""
    if not isinstance(store, MirroredStore):
        return store.path.relative_to(root).as_posix(), None
    try:
        return store.bucket.url, store.bucket.holding()
    except DeployError as error:
        return store.bucket.url, Unavailable(str(error))


def judge(
    rule: Retention,
    at: datetime,
    place: str,
    holding: BucketRetention | Unavailable | None,
    *,
    replaced: bool = False,
) -> Verdict:
    """Whether the record is held as policy asks. `holding` is None where `place` is a folder: a disk holds nothing back.

    One second short is short. What could not be read back blocks where policy asks for a locked bucket. `replaced`: a
    rehearsal or a setting goes by another rule than policy's.
    """
    wanted = {"period_s": rule.days * DAY_S, "storage_class": rule.storage_class, "locked": rule.locked}
    grounds = Grounds(NAME, {"place": place, "wanted": wanted, "found": None})
    unlocked = (
        "a rule in place of policy's own asks for no locked bucket"
        if replaced
        else "this policy asks for no locked bucket"
    )
    if holding is None:
        on_a_disk = f"not enforceable on a disk: {place} lasts as long as whoever keeps the disk lets it"
        if rule.locked:
            return grounds.needs_action(on_a_disk, "let the record lie in a bucket: record: {store: gcs, bucket: NAME}")
        return grounds.not_applicable(f"{on_a_disk}; {unlocked}")
    if isinstance(holding, Unavailable):
        kept = f"how {place} keeps the record could not be read back: {holding.problem}"
        faults = [(kept, "mend what it names, then ask again")]
    else:
        effective = None if holding.effective is None else stamp(holding.effective)
        grounds.inputs["found"] = {**asdict(holding), "effective": effective, "may": list(holding.may)}
        faults = list(_faults(rule, at, holding))
        kept = f"{place} {_kept(holding)}"
    if not rule.locked:
        return grounds.not_applicable(f"{unlocked}; {kept}")
    if faults:
        remedies = dict.fromkeys(remedy for _, remedy in faults)
        return grounds.needs_action("; ".join(fault for fault, _ in faults), "; ".join(remedies))
    return grounds.passes(f"{kept}, and this identity may not delete")


def _faults(rule: Retention, at: datetime, holding: BucketRetention) -> Iterator[tuple[str, str]]:
    wanted = rule.days * DAY_S
    if holding.period_s is None:
        yield "it has no retention policy", f"set one of {wanted} s ({rule.days} days) and lock it"
    elif holding.period_s < wanted:
        short = wanted - holding.period_s
        yield (
            f"it keeps an object for {holding.period_s} s, {short} s less than the {wanted} s ({rule.days} days) of policy",
            f"raise its retention period to {wanted} s at least (seconds, not days)",
        )
    if holding.period_s is not None and not holding.locked:
        yield (
            "its retention policy is not locked, so it can be shortened or taken away",
            "lock it: that cannot be undone",
        )
    if holding.effective is not None and holding.effective > at:
        yield f"its retention policy holds only from {moment(holding.effective)}", "wait until it holds"
    if holding.storage_class != rule.storage_class:
        yield (
            f"it stores new objects as {holding.storage_class or 'nothing known'}, policy says {rule.storage_class}",
            f"set its default storage class to {rule.storage_class}, or mend retention.storage_class",
        )
    if holding.may:
        yield (
            f"this identity may {', '.join(holding.may)}",
            "give it storage.objectCreator, storage.objectViewer and storage.bucketViewer, and no role that may delete or say who may",
        )


def _kept(holding: BucketRetention) -> str:
    if holding.period_s is None:
        return f"has no retention policy and stores {holding.storage_class}"
    locked = "locked" if holding.locked else "not locked"
    days = timedelta(seconds=holding.period_s).days
    return f"keeps an object for {holding.period_s} s ({days} days), {locked}, stored as {holding.storage_class}"
