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


@dataclass(frozen=True)
class Attack:
    lay: Callable[[PendingRequest], object]
    refused: str
    """What the gate says."""
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


def _armour(change: Callable[[bytes], bytes]) -> Callable[[PendingRequest], object]:
    """Tina's approval of another request under this one's words, its signature's bytes changed."""

    def lay(pending: PendingRequest) -> None:
        other = render(pending.approval(TINA, request_sha256="0" * 64))
        signature = sign(other, key=pending.keys[TINA.email], namespace=NAMESPACE)
        lines = signature.splitlines()
        blob = change(base64.b64decode(b"".join(lines[1:-1])))
        pending.put(
            FORGED,
            render(pending.approval(TINA)),
            b"\n".join([lines[0], base64.b64encode(blob), lines[-1], b""]),
        )

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
    "she rejected it": Attack(_by_tina(meaning=REJECTS), "which is no approval.signed"),
    "a signed REJECTS in words of her own": Attack(_by_tina(meaning="REJECTS this request"), "which is no approval.signed"),
    "she has only seen it": Attack(_by_tina(meaning="has seen this request"), "which is no approval.signed"),
    "she answered for an override": Attack(_by_tina(meaning=OVERRIDES), "which is no approval.signed"),
    "a blank behind the meaning": Attack(_by_tina(meaning=f"{APPROVES} "), "which is no approval.signed"),
    "a capital in the meaning": Attack(_by_tina(meaning=APPROVES.capitalize()), "which is no approval.signed"),
    "an override laid down as an approval": Attack(lambda p: p.put(FORGED, render(p.override_statement(TINA)), sign(render(p.override_statement(TINA)), key=p.keys[TINA.email], namespace=NAMESPACE)), "must hold exactly"),
    "another request": Attack(_by_tina(request_sha256="0" * 64), "signs another request"),
    "another run": Attack(_by_tina(run=LATER_RUN), "signs another request"),
    "her approval of another request": Attack(_of_another_request, "signs another request"),
    # --- she is somebody else
    "another name than the roster's": Attack(_named_otherwise("Quinn Quist"), "is Tina Tanaka in the roster"),
    "her name in capitals": Attack(_named_otherwise("TINA TANAKA"), "is Tina Tanaka in the roster"),
    "a blank in her name": Attack(_named_otherwise("Tina  Tanaka"), "is Tina Tanaka in the roster"),
    "a look-alike letter in her name": Attack(_named_otherwise("Tin\u0430 Tanaka"), "is Tina Tanaka in the roster"),
    "a role that she does not hold": Attack(_by_tina(role="QA Lead"), "does not hold the role QA Lead"),
    "a role that nobody asks": Attack(lambda p: p.put_statement(p.approval(DORA)), "is not asked for", DORA.email),
    "no role": Attack(_by_tina(role=""), "role"),
    "a capital in her address": Attack(_by_strangers_key(signer="Tina@example.org"), "", "Tina@example.org"),
    "a dot behind her address": Attack(_by_strangers_key(signer="tina@example.org."), "", "tina@example.org."),
    "a plus in her address": Attack(_by_strangers_key(signer="tina+x@example.org"), "nobody in the roster", "tina+x@example.org"),
    "a look-alike letter in her address": Attack(_by_strangers_key(signer="t\u0456na@example.org"), "", "t\u0456na@example.org"),
    "an address for everybody": Attack(_by_strangers_key(signer="*@example.org"), "", "*@example.org"),
    "two addresses": Attack(_by_strangers_key(signer="tina@example.org,eve@example.org"), "", "tina@example.org,eve@example.org"),
    "a stranger": Attack(_by_strangers_key(signer="eve@example.org"), "nobody in the roster", "eve@example.org"),
    # --- another key
    "a stranger's key": Attack(_by_strangers_key(), "does not verify"),
    "the key of another approver": Attack(lambda p: p.put_statement(p.approval(TINA), key=QUINN.email), "does not verify"),
    "the key of the deployer": Attack(lambda p: p.put_statement(p.approval(TINA), key=DORA.email), "does not verify"),
    "her key of git": Attack(lambda p: p.put_statement(p.approval(TINA), namespace="git"), "does not verify"),
    "her key of another organisation": Attack(lambda p: p.put_statement(p.approval(TINA), namespace="deploy-approval@other.example.org"), "does not verify"),
    "her key of files": Attack(lambda p: p.put_statement(p.approval(TINA), namespace="file"), "does not verify"),
    "a key of hers that was revoked": Attack(_after_her_key_ended, "does not verify"),
    "somebody whom the log's key enrolled meanwhile": Attack(_enrolled_by_the_log("eve@example.org", "stranger", printed_name="Eve"), "after the request was made", "eve@example.org"),
    "her namesake whom the log's key enrolled meanwhile": Attack(_enrolled_by_the_log("tina@example.com", "stranger"), "after the request was made", "tina@example.com"),
    "a second key of hers that the log's key enrolled meanwhile": Attack(_another_key_of_hers, "after the request was made"),
    # --- no signature of these bytes
    "no signature": Attack(lambda p: p.put(FORGED, render(p.approval(TINA)), None), "its .sig is missing"),
    "an empty signature": Attack(lambda p: p.put(FORGED, render(p.approval(TINA)), b""), "does not verify"),
    "a signature of other words": Attack(_edited, "does not verify"),
    "another namespace written into the signature": Attack(_armour(lambda blob: blob.replace(NAMESPACE.encode(), b"x" * len(NAMESPACE))), "does not verify"),
    "the last byte of the signature": Attack(_armour(lambda blob: blob[:-1] + bytes([blob[-1] ^ 1])), "does not verify"),
    "bytes behind the signature": Attack(_armour(lambda blob: blob + b"\0"), "does not verify"),
    "a link": Attack(_linked, "is a link"),
    # --- written otherwise
    "blanks between the words": Attack(_text(lambda text: text.replace(b":", b": ")), "no canonical JSON"),
    "a key more": Attack(_text(lambda text: canonical({**json.loads(text), "also": "this"})), "must hold exactly"),
    "a key less": Attack(_text(lambda text: canonical({k: v for k, v in json.loads(text).items() if k != "run"})), "must hold exactly"),
    "a key twice": Attack(_text(lambda text: text.replace(b'{"comment":""', b'{"comment":"","comment":""')), "no canonical JSON"),
    "a line more": Attack(_text(lambda text: text + b"\n"), "no canonical JSON"),
    "lists a hundred thousand deep": Attack(_text(lambda text: b"[" * 100_000), "no canonical JSON"),
    # --- when
    "dated before the request": Attack(lambda p: p.put_statement(p.approval(TINA, signed_at=stamp(p.clock.now() - timedelta(hours=1)))), "is back-dated"),
    "dated after it was laid down": Attack(lambda p: p.put_statement(p.approval(TINA, signed_at=stamp(p.clock.now() + timedelta(hours=1)))), "after it was laid down"),
    "dated on no day": Attack(_by_tina(signed_at="2026-11-31T00:00:00.000Z"), "day is out of range"),
    "laid down when the request had lapsed": Attack(_late, "lapsed"),
    # --- who must not
    "who deploys": Attack(lambda p: p.put_statement(p.approval(DORA, role=TECH_LEAD)), "deploys this", DORA.email),
    "who wrote it": Attack(lambda p: p.put_statement(p.approval(ADAM)), "wrote part", ADAM.email),
    "one signature twice": Attack(_twice, "", QUINN.email),
    "one person in two roles": Attack(lambda p: (p.put_statement(p.approval(BOTH)), p.put_statement(p.approval(BOTH, role="QA Lead"))), "", BOTH.email, alone=True),
    "over a rejection": Attack(_rejected, "rejected by"),
    "over a rejection whose file was removed": Attack(_rejected_and_removed, "rejected by"),
    "nobody": Attack(lambda p: None, "approval missing: Tech Lead"),
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
