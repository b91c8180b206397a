"""Tampering with what people sign after a run: sign-offs, amendments, notes, accepted deviations.

Whoever holds the log's key holds nobody else's. So the second half has accomplices: people who sign, with their own enrolled
keys, what no command would let them sign.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import ssh_signature
from pytest_deploy.record.event import Event, canonical
from pytest_deploy.record.events import TYPES, fields
from tests.stories.tampered_record import TamperedRecord, exchange, replaced_by_link, swap_bytes
from tests.stories.tampering_with_verdicts import written_anew

NAMESPACE = "deploy-approval@deploy.example.org"


def reviewed(it: TamperedRecord) -> None:
    """Go on with the copy that holds what people signed after the run."""
    shutil.rmtree(it.store)
    shutil.copytree(it.of.reviewed, it.store, symlinks=True)
    it.events = it.of.events("reviewed")


def counting(it: TamperedRecord, event_type: str) -> list[Event]:
    """The events of a type that count what people signed after the run."""
    reviewed(it)
    return [event for event in it.events if event.type == event_type]


def signed(it: TamperedRecord, event_type: str) -> list[Path]:
    """The statements of a type, in the order in which they were counted; the first is named as the bad one."""
    files = [str(event.data["file"]) for event in counting(it, event_type)]
    it.named = files[0]
    return [it.store / file for file in files]


def of(path: Path) -> Path:
    """The signature of a statement."""
    return path.with_name(f"{path.name}.sig")


# --- the files


def sign_off_altered(it: TamperedRecord) -> None:
    swap_bytes(signed(it, "signoff.signed")[0], b'"comment":"', b'"comment":"not ')


def sign_off_deleted(it: TamperedRecord) -> None:
    signed(it, "signoff.signed")[0].unlink()


def sign_offs_deleted(it: TamperedRecord) -> None:
    shutil.rmtree(signed(it, "signoff.signed")[0].parent)


def sign_off_moved(it: TamperedRecord) -> None:
    """With its signature, to the plan."""
    path = signed(it, "signoff.signed")[0]
    (it.store / "signoffs" / it.of.plan).mkdir()
    for each in (path, of(path)):
        each.rename(it.store / "signoffs" / it.of.plan / each.name)


def sign_offs_swapped(it: TamperedRecord) -> None:
    """With their signatures: each is sound, under the other's name."""
    one, other = signed(it, "signoff.signed")
    exchange(one, other)
    exchange(of(one), of(other))


def sign_off_signature_swapped(it: TamperedRecord) -> None:
    one, other = signed(it, "signoff.signed")
    it.named += ".sig"
    shutil.copy(of(other), of(one))


def sign_off_signature_deleted(it: TamperedRecord) -> None:
    path = signed(it, "signoff.signed")[0]
    it.named += ".sig"
    of(path).unlink()


def sign_off_linked(it: TamperedRecord) -> None:
    replaced_by_link(signed(it, "signoff.signed")[0], it.store.parent / "elsewhere")


def amendment_altered(it: TamperedRecord) -> None:
    swap_bytes(signed(it, "record.amended")[0], b'"new":"OPS-7', b'"new":"OPS-8')


def amendments_swapped(it: TamperedRecord) -> None:
    """The amendment and the confirmation of it, with their signatures."""
    one, other = signed(it, "record.amended")
    exchange(one, other)
    exchange(of(one), of(other))


def confirmation_deleted(it: TamperedRecord) -> None:
    path = signed(it, "record.amended")[1]
    it.named = path.relative_to(it.store).as_posix()
    path.unlink()


def note_altered(it: TamperedRecord) -> None:
    swap_bytes(signed(it, "record.annotated")[0], b'"note":"', b'"note":"not ')


def acceptance_altered(it: TamperedRecord) -> None:
    swap_bytes(signed(it, "deviation.accepted")[0], b'"reason":"', b'"reason":"not ')


# --- with the log's own key


def _written_anew(it: TamperedRecord, event: Event, **changes: Any) -> None:
    """An event that counts a statement says something else than was signed; the statement is named."""
    it.named = event.data["file"]
    written_anew(it, event, data={**event.data, **changes})


def sign_off_turned(it: TamperedRecord) -> None:
    _written_anew(it, counting(it, "signoff.signed")[0], meaning="rejected")


def amended_value_changed(it: TamperedRecord) -> None:
    _written_anew(it, counting(it, "record.amended")[0], new="OPS-8")


def note_changed(it: TamperedRecord) -> None:
    _written_anew(it, counting(it, "record.annotated")[0], note="nothing was moved")


def confirmation_not_said(it: TamperedRecord) -> None:
    """The confirmation counted as an amendment of its own, which confirms none."""
    event = counting(it, "record.amended")[1]
    it.named = event.data["file"]
    written_anew(it, event, data={key: value for key, value in event.data.items() if key != "countersigns"})


def counted_again(it: TamperedRecord) -> None:
    event = counting(it, "signoff.signed")[0]
    it.named = entries.name(it.size)
    it.forge(it.size, it.insider(), type=event.type, run=event.run, actor=event.actor, data=event.data)


def counted_for_another_run(it: TamperedRecord) -> None:
    event = counting(it, "signoff.signed")[0]
    it.named = event.data["file"]
    it.forge(it.size, it.insider(), type=event.type, run=it.of.plan, actor=event.actor, data=event.data)


def rewritten_below_a_signature(it: TamperedRecord) -> None:
    """Why a gate refused, before the run was opened. No anchor is given: people signed the hash of an event after it."""
    it.named = entries.name(counting(it, "record.amended")[0].seq)
    begun = it.events[it.seq("gate.refused")]
    written_anew(it, begun, data={**begun.data, "reason": "they were all on leave"})


# --- with the log's own key, and with accomplices


def count(it: TamperedRecord, like: Event, by: str, signing: Path | None = None, **says: Any) -> int:
    """A statement like one that is there, signed by a person (`qa-lead`) and counted with the log's key; its event's number.

    The event is named as the bad one. `signing`: another key than the person's own.
    """
    address = f"{by}@rehearsal.deploy.example.org"
    person = json.loads((it.store / "trust/roles.json").read_bytes())[address]
    signer = {"signer": address, "printed_name": person["printed_name"], "role": person["roles"][0]}
    said = {**json.loads((it.store / like.data["file"]).read_bytes()), **signer, **says}
    content = canonical(said)
    file = f"signoffs/{it.of.run}/accomplice-{hashlib.sha256(content).hexdigest()[:8]}.json"
    signature = ssh_signature.sign(content, key=signing or it.of.people / by, namespace=NAMESPACE)
    (it.store / file).write_bytes(content)
    (it.store / f"{file}.sig").write_bytes(signature)
    digests = {"sha256": hashlib.sha256(content), "signature_sha256": hashlib.sha256(signature)}
    counted = {"file": file, **{name: digest.hexdigest() for name, digest in digests.items()}}
    stated = {name: value for name, value in said.items() if name in fields(TYPES[like.type])}
    clock = {"clock": it.events[-1].data["clock"]} if "clock" in it.events[-1].data else {}
    seq = len(list((it.store / "log").iterdir()))
    it.forge(
        seq, it.insider(), type=like.type, run=it.of.run, actor=address, data={**counted, **stated, **clock}
    )  # fmt: skip
    it.named = entries.name(seq)
    return seq


def name_the_statement(it: TamperedRecord, seq: int) -> None:
    """Not the event that counts it."""
    it.named = entries.parse(it.at(seq).read_bytes()).event.data["file"]


def amend_again(it: TamperedRecord, by: str, **says: Any) -> int:
    """An amendment of the reason that was amended, to another."""
    first = counting(it, "record.amended")[0]
    return count(it, first, by, **{"old": first.data["new"], "new": "OPS-9", **says})


def confirm(it: TamperedRecord, by: str, seq: int, **says: Any) -> int:
    """The confirmation of such an amendment."""
    first, second = (event for event in it.events if event.type == "record.amended")
    said = {"old": first.data["new"], "new": "OPS-9", "countersigns": seq, **says}
    return count(it, second, by, **said)


def observed_amended(it: TamperedRecord) -> None:
    """The commit: not what a person stated."""
    first = counting(it, "record.amended")[0]
    opened = it.events[first.data["amends"]]
    count(it, first, "tech-lead", key="commit", old=opened.data["commit"], new="0" * 40)


def amended_from_another_value(it: TamperedRecord) -> None:
    amend_again(it, "tech-lead", old="OPS-6")


def amended_by_the_deployer(it: TamperedRecord) -> None:
    amend_again(it, "deployer")


def confirmed_by_its_author(it: TamperedRecord) -> None:
    confirm(it, "tech-lead", amend_again(it, "tech-lead"))


def confirmed_by_the_deployer(it: TamperedRecord) -> None:
    confirm(it, "deployer", amend_again(it, "tech-lead"))


def another_value_confirmed(it: TamperedRecord) -> None:
    confirm(it, "qa-lead", amend_again(it, "tech-lead"), new="OPS-10")


def note_beside_another_event(it: TamperedRecord) -> None:
    note = counting(it, "record.annotated")[0]
    count(it, note, "qa-lead", annotates=note.data["annotates"] - 1)


def sign_off_of_no_known_meaning(it: TamperedRecord) -> None:
    seq = count(it, counting(it, "signoff.signed")[0], "qa-lead", meaning="reviewed, but for OQ-7")
    name_the_statement(it, seq)


def sign_off_of_another_seal(it: TamperedRecord) -> None:
    count(it, counting(it, "signoff.signed")[0], "qa-lead", record_sha256="0" * 64)


def sign_off_by_a_stranger(it: TamperedRecord) -> None:
    """In the name of the QA Lead, with a key that nobody enrolled."""
    key = it.store.parent / "stranger"
    ssh_signature.make_key(key, comment="stranger")
    name_the_statement(it, count(it, counting(it, "signoff.signed")[0], "qa-lead", signing=key))
    it.named += ".sig"


def sign_off_in_another_role(it: TamperedRecord) -> None:
    """The QA Lead's, as Tech Lead."""
    name_the_statement(it, count(it, counting(it, "signoff.signed")[0], "qa-lead", role="Tech Lead"))


def signed_off_by_the_deployer(it: TamperedRecord) -> None:
    count(it, counting(it, "signoff.signed")[0], "deployer")


def accepted_by_the_deployer(it: TamperedRecord) -> None:
    count(it, counting(it, "deviation.accepted")[0], "deployer")


def accepted_though_it_passed(it: TamperedRecord) -> None:
    """A deviation of a step that did not deviate."""
    like = counting(it, "deviation.accepted")[0]
    passed = next(
        e for e in it.events if e.type == "step.finished" and e.run == it.of.run and e.data["outcome"] == "passed"
    )
    count(it, like, "qa-lead", nodeid=passed.data["nodeid"])


# --- what is no tampering


def sign_off_copied(it: TamperedRecord) -> None:
    """With its signature, to the plan."""
    path = signed(it, "signoff.signed")[0]
    (it.store / "signoffs" / it.of.plan).mkdir()
    for each in (path, of(path)):
        shutil.copy(each, it.store / "signoffs" / it.of.plan / each.name)
