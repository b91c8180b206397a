"""Ways to a deployment that nobody approved: what an attacker lays under a request, and what each is to be taken for.

The attacker may write to the store, deploys, and holds every private key but those of the approvers that are attacked: Quinn has
signed as QA Lead, and somebody wants it to look as if a Tech Lead had.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.sign_request import render, sign_rejection
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.meanings import APPROVES, OVERRIDES, REJECTS
from pytest_deploy.record.ssh_signature import sign
from tests.unit.approvals.pending_request import (
    ADAM,
    BOTH,
    DEPLOYER,
    DORA,
    LATER_RUN,
    NAMESPACE,
    QUINN,
    REQUEST,
    RUN,
    TINA,
    PendingRequest,
    public,
)

TECH_LEAD: Final = "Tech Lead"
FORGED: Final = "tech-lead-00000000.json"
"""What an attack lays down, where it names it."""
STATEMENT: Final = "-00000000.json"
SIGNATURE: Final = "-00000000.json.sig"
"""How what an attack lays down ends: what was signed, and the signature beside it."""


@dataclass(frozen=True)
class Complaint:
    """What the verifiers say where the log's key goes on with an attack all the same; who says anything else refuses something else."""

    at: str
    """What both name: the end of a file's name, or the type of an event."""
    ours: str
    """What `deploy.py verify` says of it: a regular expression for a part of that."""
    theirs: str
    """What verify.sh says of it: a part of that."""


def _unsigned(why: str) -> Complaint:
    """verify.sh says no more than that: ssh-keygen tells it by its exit code alone."""
    return Complaint(
        SIGNATURE,
        f"does not verify for {TINA.email} at the time of event {why}",
        f"is no valid signature of {TINA.email} at",
    )


def _as_one(at: str, said: str) -> Complaint:
    """Both say the same words."""
    return Complaint(at, said, said)


MEANS_ELSE: Final = Complaint(
    STATEMENT, "which is no approval.signed", "means something else than a approval.signed stands for"
)
OF_ANOTHER_REQUEST: Final = Complaint(
    "approval.signed", "request_sha256 is not that of the run's request", "is about another request than was made"
)
SAYS_ELSE: Final = "is not canonical JSON that says what event"
NOT_HER_NAME_OR_ROLE: Final = Complaint(
    STATEMENT,
    "says another name or role of tina@example.org than the roster",
    "says a name or role that the roster in force",
)
NO_ADDRESS: Final = Complaint(
    STATEMENT, "which is no address that a person signs under", "is signed by an address that no person signs under"
)
UNKNOWN_KEY: Final = _unsigned("[0-9]+: Could not verify signature")
OTHER_NAMESPACE: Final = _unsigned("[0-9]+: Couldn't verify signature: namespace does not match")
OTHER_BYTES: Final = _unsigned("[0-9]+: Signature verification failed: incorrect signature")
TOO_NEW: Final = _as_one(SIGNATURE, "is by a key that was no signer's when the request was made")
NOT_CANONICAL: Final = Complaint(STATEMENT, "is not canonical JSON", SAYS_ELSE)
NOT_SIGNED_BY: Final = "says that {} approved as Tech Lead, and no signature counted before it does"
IN_TWO_ROLES: Final = _as_one("gate.passed", "says that one person approved in two roles")
REJECTED: Final = Complaint(
    "run.opened",
    "its request is rejected, and who rejected it did not approve it since",
    "opens on a request that is rejected",
)


@dataclass(frozen=True)
class Attack:
    lay: Callable[[PendingRequest], object]
    refused: str
    """What the gate says."""
    complaint: Complaint
    signer: str = TINA.email
    """Who the attacker says it was."""
    alone: bool = False
    """Whether Quinn has signed nothing."""


def _by_tina(**changes: Any) -> Callable[[PendingRequest], object]:
    """Something that Tina signed, and that is no approval of this."""
    return lambda p: p.put_statement(p.approval(TINA, **changes))


def _by_strangers_key(**changes: Any) -> Callable[[PendingRequest], object]:
    return lambda p: p.put_statement(p.approval(TINA, **changes), key="stranger")


def _text(change: Callable[[bytes], bytes]) -> Callable[[PendingRequest], object]:
    """Tina's approval written in another way, with her own signature over that."""

    def lay(pending: PendingRequest) -> None:
        text = change(render(pending.approval(TINA)))
        pending.put(FORGED, text, sign(text, key=pending.keys[TINA.email], namespace=NAMESPACE))

    return lay


def _edited(pending: PendingRequest) -> None:
    """Words put under a signature that was made over others."""
    signed = render(pending.approval(TINA, meaning=REJECTS))
    signature = sign(signed, key=pending.keys[TINA.email], namespace=NAMESPACE)
    pending.put(FORGED, render(pending.approval(TINA)), signature)


def _armour(change: Callable[[bytes], bytes], namespace: str = NAMESPACE) -> Callable[[PendingRequest], object]:
    """Tina's signature of these very words, its bytes changed: nothing else is wrong with it."""

    def lay(pending: PendingRequest) -> None:
        text = render(pending.approval(TINA))
        lines = sign(text, key=pending.keys[TINA.email], namespace=namespace).splitlines()
        blob = base64.b64decode(b"".join(lines[1:-1]))
        assert change(blob) != blob
        pending.put(FORGED, text, b"\n".join([lines[0], base64.b64encode(change(blob)), lines[-1], b""]))

    return lay


def _linked(pending: PendingRequest) -> None:
    name = pending.put("real.txt", render(pending.approval(TINA)), None)
    place = pending.store / name
    place.with_name(FORGED).symlink_to(place)
    place.with_name(f"{FORGED}.sig").write_bytes(b"")


def _of_another_request(pending: PendingRequest) -> None:
    """Tina approved a later request; the files are copied here as they are."""
    pending.ask(LATER_RUN, canonical({**json.loads(REQUEST), "version": "1.3.0"}))
    content = (pending.store / "runs" / LATER_RUN / "request.json").read_bytes()
    said = pending.approval(TINA, run=LATER_RUN, request_sha256=_sha256(content))
    name = pending.put_statement(said, under=LATER_RUN)
    place = pending.store / name
    pending.put(FORGED, place.read_bytes(), place.with_name(f"{place.name}.sig").read_bytes())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _after_her_key_ended(pending: PendingRequest) -> None:
    said = pending.approval(TINA)
    pending.clock.move(10)
    pending.revoke(TINA)
    pending.clock.move(10)
    pending.put_statement(said)


def _enrolled_by_the_log(email: str, key: str, **person: Any) -> Callable[[PendingRequest], object]:
    """Whoever holds the log's key makes a key known while the request waits, and signs with it."""

    def lay(pending: PendingRequest) -> None:
        who = replace(TINA, email=email, github=99, local=None, emails=(), **person)
        enrollment.enroll(
            pending.log, pending.store, [who], {email: public(pending.keys[key])},
            namespace=NAMESPACE, now=pending.clock.now(), actor=DEPLOYER, reason="new", distinct_from=[TINA.email],
        )  # fmt: skip
        pending.clock.move(10)
        pending.put_statement(pending.approval(who), key=key)

    return lay


def _another_key_of_hers(pending: PendingRequest) -> None:
    enrollment.enroll(
        pending.log, pending.store, [TINA], {TINA.email: public(pending.keys["second"])},
        namespace=NAMESPACE, now=pending.clock.now(), actor=DEPLOYER, reason="a second key",
    )  # fmt: skip
    pending.clock.move(10)
    pending.put_statement(pending.approval(TINA), key="second")


def _twice(pending: PendingRequest) -> None:
    """Quinn's one signature, as a second file."""
    place = next((pending.store / "runs" / RUN / "approvals").glob("qa-lead-*.json"))
    pending.put(FORGED, place.read_bytes(), place.with_name(f"{place.name}.sig").read_bytes())


def _rejected(pending: PendingRequest) -> None:
    sign_rejection(
        pending.log, pending.store, RUN,
        person=BOTH, role=TECH_LEAD, key=pending.keys[BOTH.email], reason="it locks the table", now=pending.clock.now(),
    )  # fmt: skip
    pending.clock.move(10)
    pending.put_statement(pending.approval(TINA))


def _rejected_and_removed(pending: PendingRequest) -> None:
    _rejected(pending)
    for place in (pending.store / "runs" / RUN / "approvals").glob("rejection-*"):
        place.unlink()


def _named_otherwise(name: str) -> Callable[[PendingRequest], object]:
    return lambda p: p.put_statement(p.approval(replace(TINA, printed_name=name)))


def _late(pending: PendingRequest) -> None:
    """Signed in time, laid down when the request had lapsed."""
    said = pending.approval(TINA)
    pending.clock.move(timedelta(days=2).total_seconds())
    pending.put_statement(said)


ATTACKS: Final[Mapping[str, Attack]] = {
    # --- what she signed is something else
    "she rejected it": Attack(_by_tina(meaning=REJECTS), "which is no approval.signed", MEANS_ELSE),
    "a signed REJECTS in words of her own": Attack(_by_tina(meaning="REJECTS this request"), "which is no approval.signed", MEANS_ELSE),
    "she has only seen it": Attack(_by_tina(meaning="has seen this request"), "which is no approval.signed", MEANS_ELSE),
    "she answered for an override": Attack(_by_tina(meaning=OVERRIDES), "which is no approval.signed", MEANS_ELSE),
    "a blank behind the meaning": Attack(_by_tina(meaning=f"{APPROVES} "), "which is no approval.signed", MEANS_ELSE),
    "a capital in the meaning": Attack(_by_tina(meaning=APPROVES.capitalize()), "which is no approval.signed", MEANS_ELSE),
    "an override laid down as an approval": Attack(lambda p: p.put(FORGED, render(p.override_statement(TINA)), sign(render(p.override_statement(TINA)), key=p.keys[TINA.email], namespace=NAMESPACE)), "must hold exactly", Complaint(STATEMENT, "says another reason, gate, incident, expires than event", SAYS_ELSE)),
    "another request": Attack(_by_tina(request_sha256="0" * 64), "signs another request", OF_ANOTHER_REQUEST),
    "another run": Attack(_by_tina(run=LATER_RUN), "signs another request", Complaint(STATEMENT, "says another run than event", SAYS_ELSE)),
    "her approval of another request": Attack(_of_another_request, "signs another request", OF_ANOTHER_REQUEST),
    # --- she is somebody else
    "another name than the roster's": Attack(_named_otherwise("Quinn Quist"), "is Tina Tanaka in the roster", NOT_HER_NAME_OR_ROLE),
    "her name in capitals": Attack(_named_otherwise("TINA TANAKA"), "is Tina Tanaka in the roster", NOT_HER_NAME_OR_ROLE),
    "a blank in her name": Attack(_named_otherwise("Tina  Tanaka"), "is Tina Tanaka in the roster", NOT_HER_NAME_OR_ROLE),
    "a look-alike letter in her name": Attack(_named_otherwise("Tin\u0430 Tanaka"), "is Tina Tanaka in the roster", NOT_HER_NAME_OR_ROLE),
    "a role that she does not hold": Attack(_by_tina(role="QA Lead"), "does not hold the role QA Lead", NOT_HER_NAME_OR_ROLE),
    "a role that nobody asks": Attack(lambda p: p.put_statement(p.approval(DORA)), "is not asked for", _as_one("gate.passed", NOT_SIGNED_BY.format(DORA.email)), DORA.email),
    "no role": Attack(_by_tina(role=""), "role is empty", Complaint(STATEMENT, "says another role than event", NOT_HER_NAME_OR_ROLE.theirs)),
    "a capital in her address": Attack(_by_strangers_key(signer="Tina@example.org"), "Tina@example.org is nobody in the roster", NO_ADDRESS, "Tina@example.org"),
    "a dot behind her address": Attack(_by_strangers_key(signer="tina@example.org."), "tina@example.org. is nobody in the roster", NO_ADDRESS, "tina@example.org."),
    "a plus in her address": Attack(_by_strangers_key(signer="tina+x@example.org"), "tina+x@example.org is nobody in the roster", NO_ADDRESS, "tina+x@example.org"),
    "a look-alike letter in her address": Attack(_by_strangers_key(signer="t\u0456na@example.org"), "is nobody in the roster", NO_ADDRESS, "t\u0456na@example.org"),
    "an address for everybody": Attack(_by_strangers_key(signer="*@example.org"), "*@example.org is nobody in the roster", NO_ADDRESS, "*@example.org"),
    "two addresses": Attack(_by_strangers_key(signer="tina@example.org,eve@example.org"), "tina@example.org,eve@example.org is nobody in the roster", NO_ADDRESS, "tina@example.org,eve@example.org"),
    "a stranger": Attack(_by_strangers_key(signer="eve@example.org"), "eve@example.org is nobody in the roster", Complaint(SIGNATURE, "does not verify for eve@example.org at the time of event", "is no valid signature of eve@example.org at"), "eve@example.org"),
    # --- another key
    "a stranger's key": Attack(_by_strangers_key(), "does not verify", UNKNOWN_KEY),
    "the key of another approver": Attack(lambda p: p.put_statement(p.approval(TINA), key=QUINN.email), "does not verify", UNKNOWN_KEY),
    "the key of the deployer": Attack(lambda p: p.put_statement(p.approval(TINA), key=DORA.email), "does not verify", UNKNOWN_KEY),
    "her key of git": Attack(lambda p: p.put_statement(p.approval(TINA), namespace="git"), "does not verify", OTHER_NAMESPACE),
    "her key of another organisation": Attack(lambda p: p.put_statement(p.approval(TINA), namespace="deploy-approval@other.example.org"), "does not verify", OTHER_NAMESPACE),
    "her key of files": Attack(lambda p: p.put_statement(p.approval(TINA), namespace="file"), "does not verify", OTHER_NAMESPACE),
    "a key of hers that was revoked": Attack(_after_her_key_ended, "does not verify", _unsigned("[0-9]+: .*key has expired")),
    "somebody whom the log's key enrolled meanwhile": Attack(_enrolled_by_the_log("eve@example.org", "stranger", printed_name="Eve"), "after the request was made", TOO_NEW, "eve@example.org"),
    "her namesake whom the log's key enrolled meanwhile": Attack(_enrolled_by_the_log("tina@example.com", "stranger"), "after the request was made", TOO_NEW, "tina@example.com"),
    "a second key of hers that the log's key enrolled meanwhile": Attack(_another_key_of_hers, "after the request was made", TOO_NEW),
    # --- no signature of these bytes
    "no signature": Attack(lambda p: p.put(FORGED, render(p.approval(TINA)), None), "its .sig is missing", _as_one(SIGNATURE, "is missing")),
    "an empty signature": Attack(lambda p: p.put(FORGED, render(p.approval(TINA)), b""), "does not verify", _unsigned("[0-9]+: .*incomplete message")),
    "a signature of other words": Attack(_edited, "does not verify", OTHER_BYTES),
    "this namespace written into her signature in another": Attack(_armour(lambda blob: blob.replace(b"x" * len(NAMESPACE), NAMESPACE.encode()), "x" * len(NAMESPACE)), "does not verify", OTHER_BYTES),
    "the last byte of the signature": Attack(_armour(lambda blob: blob[:-1] + bytes([blob[-1] ^ 1])), "does not verify", OTHER_BYTES),
    "bytes behind the signature": Attack(_armour(lambda blob: blob + b"\0"), "does not verify", _unsigned("[0-9]+: Signature contains trailing data")),
    "a link": Attack(_linked, "is a link", Complaint(STATEMENT, "is no regular file", "is not a regular file")),
    # --- written otherwise
    "blanks between the words": Attack(_text(lambda text: text.replace(b":", b": ")), "no canonical JSON", NOT_CANONICAL),
    "a key more": Attack(_text(lambda text: canonical({**json.loads(text), "also": "this"})), "must hold exactly", Complaint(STATEMENT, "must hold exactly comment, meaning,", "has a key that is none of its kind")),
    "a key less": Attack(_text(lambda text: canonical({k: v for k, v in json.loads(text).items() if k != "run"})), "must hold exactly", Complaint(STATEMENT, "must hold exactly comment, meaning,", "lacks the key run")),
    "a key twice": Attack(_text(lambda text: text.replace(b'{"comment":""', b'{"comment":"","comment":""')), "no canonical JSON", NOT_CANONICAL),
    "a line more": Attack(_text(lambda text: text + b"\n"), "no canonical JSON", NOT_CANONICAL),
    "lists a hundred thousand deep": Attack(_text(lambda text: b"[" * 100_000), "no canonical JSON", NOT_CANONICAL),
    # --- when
    "dated before the request": Attack(lambda p: p.put_statement(p.approval(TINA, signed_at=stamp(p.clock.now() - timedelta(hours=1)))), "is back-dated", _as_one(STATEMENT, "is back-dated")),
    "dated after it was laid down": Attack(lambda p: p.put_statement(p.approval(TINA, signed_at=stamp(p.clock.now() + timedelta(hours=1)))), "after it was laid down", Complaint(STATEMENT, "after it was laid down", "is dated after it was counted")),
    "dated on no day": Attack(_by_tina(signed_at="2026-11-31T00:00:00.000Z"), "day is out of range", _as_one(STATEMENT, "its signed_at is no UTC time")),
    "laid down when the request had lapsed": Attack(_late, "lapsed", _as_one("run.opened", "opens on a request that ran out at 2026-11-23T12:01:00.000Z")),
    # --- who must not
    "who deploys": Attack(lambda p: p.put_statement(p.approval(DORA, role=TECH_LEAD)), "deploys this", _as_one("step.started", "goes on, and dora@example.org, who deploys it, approved it"), DORA.email),
    "who wrote it": Attack(lambda p: p.put_statement(p.approval(ADAM)), "wrote part", _as_one("step.started", "goes on, and adam@example.org, who wrote part of it, approved it"), ADAM.email),
    "one signature twice": Attack(_twice, "approval missing: Tech Lead", IN_TWO_ROLES, QUINN.email),
    "one person in two roles": Attack(lambda p: (p.put_statement(p.approval(BOTH)), p.put_statement(p.approval(BOTH, role="QA Lead"))), "approval missing: QA Lead", IN_TWO_ROLES, BOTH.email, alone=True),
    "over a rejection": Attack(_rejected, "rejected by", REJECTED),
    "over a rejection whose file was removed": Attack(_rejected_and_removed, "rejected by", REJECTED),
    "nobody": Attack(lambda p: None, "approval missing: Tech Lead", _as_one("gate.passed", NOT_SIGNED_BY.format(TINA.email))),
}  # fmt: skip


def files_of(pending: PendingRequest) -> Mapping[str, Mapping[str, Any]]:
    """What lies under the request, by its name in the store: what it says, so far as it can be read."""
    found: dict[str, Mapping[str, Any]] = {}
    for place in sorted((pending.store / "runs" / RUN / "approvals").glob("*.json")):
        try:
            said = json.loads(place.read_bytes())
        except (OSError, ValueError, RecursionError):
            said = {}
        found[str(place.relative_to(pending.store))] = said if isinstance(said, dict) else {}
    return found
