"""Tampering with what a record says: verdicts, outcomes, credit, other records' events."""

from __future__ import annotations

import shutil
from typing import Any

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import Event
from tests.stories.tampered_record import TamperedRecord, exchange, swap_bytes

# --- what an event says


def of_any_run(it: TamperedRecord, event_type: str) -> Event:
    """The first event of a type, of whichever run."""
    return next(event for event in it.events if event.type == event_type)


def reworded(event_type: str, old: bytes, new: bytes) -> Any:
    """An event in which a word stands for another."""

    def tamper(it: TamperedRecord) -> None:
        event = next(e for e in it.events if e.type == event_type and old in it.at(e.seq).read_bytes())
        it.named = entries.name(event.seq)
        swap_bytes(it.at(event.seq), old, new)

    return tamper


pass_made_no_rule = reworded("gate.passed", b'"type":"gate.passed"', b'"type":"gate.not-applicable"')
outcome_of_a_step = reworded("step.finished", b'"outcome":"passed"', b'"outcome":"failed"')
credit_added = reworded("step.finished", b'"verifies":[]', b'"verifies":["REQ-o00043-K"]')
claims_removed = reworded("step.finished", b'"claims":[', b'"claim_":[')
cause_changed = reworded("step.not-run", b'"cause":"', b'"cause":"not ')
actor_changed = reworded("approval.signed", b'"actor":"', b'"actor":"x')
run_changed = reworded("run.opened", b'"commit":"', b'"commit":"f')
version_one = reworded("run.planned", b'"v":2}', b'"v":1}')


def no_rule_made_a_pass(it: TamperedRecord) -> None:
    """In staging's record: production's policy has a rule for every gate."""
    shutil.rmtree(it.store)
    shutil.copytree(it.of.staging, it.store)
    word = b'"type":"gate.not-applicable"'
    path = next(path for path in sorted((it.store / "log").iterdir()) if word in path.read_bytes())
    it.named = f"log/{path.name}"
    swap_bytes(path, word, b'"type":"gate.passed"')


def of_another_record(it: TamperedRecord) -> None:
    """Staging's event of the same number, which is authentic there."""
    seq = it.seq("run.opened")
    it.named = entries.name(seq)
    shutil.copy(it.of.staging / entries.name(seq), it.at(seq))


def proof_of_another_event(it: TamperedRecord) -> None:
    """The event stays, and the proof after it is that of the one before."""
    path, before = it.event("run.opened"), it.at(it.seq("run.opened") - 1)
    path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n" + before.read_bytes().partition(b"\n")[2])


def older_checkpoint(it: TamperedRecord) -> None:
    """The checkpoint after an event is that of a smaller log."""
    path = it.event("run.opened")
    before = it.at(it.seq("run.opened") - 1)
    head = path.read_bytes().partition(b"\n\n")[0]
    path.write_bytes(head + b"\n\n" + before.read_bytes().partition(b"\n\n")[2])


# --- the same with the log's own key


def forged(it: TamperedRecord, event: Event, **changes: Any) -> None:
    it.named = entries.name(event.seq)
    it.forge(event.seq, it.insider(), data={**event.data, **changes})


def credit_by_an_insider(it: TamperedRecord) -> None:
    """An assertion of which the step never said that it can exercise it."""
    event = next(e for e in it.events if e.type == "step.finished" and e.data["outcome"] == "passed")
    forged(it, event, verifies=["REQ-o99999-Z"])


def credit_for_a_failure_by_an_insider(it: TamperedRecord) -> None:
    event = next(e for e in it.events if e.type == "step.finished" and e.data.get("claims"))
    forged(it, event, outcome="failed", verifies=event.data["claims"])


def verdict_by_an_insider(it: TamperedRecord) -> None:
    """Its verdict stays what it was, and its type says that it passed."""
    event = it.events[it.seq("gate.refused")]
    it.named = entries.name(event.seq)
    it.forge(event.seq, it.insider(), type="gate.passed")


def opened_twice_by_an_insider(it: TamperedRecord) -> None:
    opened = it.events[it.seq("run.opened")]
    it.named = entries.name(opened.seq + 2)
    it.forge(opened.seq + 2, it.insider(), type="run.opened", run=it.of.run, data=opened.data)


def nobody_signed_by_an_insider(it: TamperedRecord) -> None:
    """An approval counted for an address that no person can sign under."""
    event = it.events[it.seq("approval.signed")]
    it.named = event.data["file"]
    for position in range(event.seq, it.size):
        changed = {"data": {**event.data, "signer": "d\u043era@example.org"}} if position == event.seq else {}
        it.forge(position, it.insider(), **changed)


# --- the keys


def roster_added(it: TamperedRecord) -> None:
    """A list of signers beside the plain copies, for whoever checks by hand."""
    it.named = "trust/allowed_signers.new"
    shutil.copy(it.store / "trust/allowed_signers", it.store / it.named)


def set_file_renamed(it: TamperedRecord) -> None:
    path = it.trust("roles.json")
    path.rename(path.with_name("Roles.json"))


def set_key_swapped(it: TamperedRecord) -> None:
    """Two of a set's files exchanged."""
    exchange(it.trust("roles.json"), it.trust("allowed_signers"))


def set_emptied(it: TamperedRecord) -> None:
    it.trust("allowed_signers").write_bytes(b"")


def set_uncounted(it: TamperedRecord) -> None:
    """A trust set that no event puts in force."""
    shutil.copytree(it.trust("log.pem").parent, it.store / "trust" / ("0" * 16))
