"""A signed file, held against the event that counts it, the roster in force, and stock ssh-keygen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import sshsig, stored_file
from pytest_deploy.record.actor import SIGNER
from pytest_deploy.record.clock import parse_stamp
from pytest_deploy.record.event import Event, canonical
from pytest_deploy.record.events import ApprovalSigned, OverrideSigned, RequestMade, RequestRejected, Signed, given
from pytest_deploy.record.meanings import wrong_lifetime, wrong_meaning, wrong_time
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.signed_roster import namespaces_of
from pytest_deploy.record.ssh_signature import verify_files
from pytest_deploy.verify import requested
from pytest_deploy.verify.chain import Chain, TrustSet
from pytest_deploy.verify.findings import Finding

_OF_THE_SIGNER: Final[tuple[str, ...]] = (
    "signer", "printed_name", "role", "meaning", "signed_at", "comment", "request_sha256", "record_sha256",
)  # fmt: skip
"""What the event says of these, the statement says too; a comment that is null is an empty one."""
_OF_BOTH: Final = (
    "reason", "gate", "incident", "expires", "amends", "event_sha256", "key", "old", "new", "nodeid", "deviation", "frozen",
    "countersigns", "annotates", "note", "findings", "first", "size", "root",
)  # fmt: skip
"""What either says of these, both say."""
_OF_EACH: Final = frozenset({"printed_name", "signer", "role", "signed_at", "meaning", "request_sha256", "run"})
_UNDER_A_REQUEST: Final[Mapping[type, frozenset[str]]] = {
    ApprovalSigned: frozenset({"comment"}),
    RequestRejected: frozenset({"reason"}),
    OverrideSigned: frozenset({"gate", "incident", "reason", "expires"}),
}
"""The keys of a statement under a request, beside those of each."""
_LARGEST: Final = stored_file.LARGEST["signoffs"]


@dataclass(frozen=True)
class Known:
    """What an event is held against."""

    trust: TrustSet | None
    """The set in force."""
    made: datetime | None
    """When the request of its run was made, by that request's own clock."""
    asked_of: TrustSet | None
    """The set in force when it was made."""


def known_at(chain: Chain, event: Event, made: Event | None) -> Known:
    """What an event is held against. `made`: the request.made of its run."""
    if made is None:
        return Known(chain.trust_at(event.seq), None, None)
    return Known(chain.trust_at(event.seq), made.instant, chain.trust_at(made.seq))


def look_at_request(store: Path, event: Event, _known: Known) -> Iterator[Finding]:
    """Whether the request that an event made lies there, byte for byte, and ends when the event says."""
    name = requested.place(event.run)
    path = _plain(store, name)
    if path is None:
        yield Finding(10, name, f"is missing, or no file, though event {event.seq} made it")
        return
    made, text = cast("RequestMade", event.content), stored_file.read(path)
    if hashlib.sha256(text).hexdigest() != made.request_sha256:
        yield Finding(10, name, f"is not the request of event {event.seq}")
        return
    for problem in requested.another_request(made, requested.request_in(text), name):
        yield Finding(10, entries.name(event.seq), problem)


def _folder(event: Event) -> str:
    """Where what an event counts lies."""
    if type(event.content) in _UNDER_A_REQUEST:
        return f"runs/{event.run}/approvals/"
    return f"signoffs/{'environment' if event.run == NO_RUN else event.run}/"


def _plain(store: Path, name: str) -> Path | None:
    """A file of a store; None where there is none, or what lies there, or leads there, is nothing of a record."""
    try:
        path = stored_file.file_of(store, name)
    except stored_file.NotOfARecord:
        return None
    return None if path.is_symlink() or not path.is_file() else path


def look_at_statement(store: Path, event: Event, known: Known, *, with_signature: bool = False) -> Iterator[Finding]:
    """What is wrong with the file that an event counts; `with_signature`: by ssh-keygen too."""
    content, trust = signed_in(event), known.trust
    name = content.file
    # One address, one person: what neither looks like another's nor is written in two ways.
    if not SIGNER.fullmatch(content.signer):
        yield Finding(10, name, f"is signed by {content.signer!r}, which is no address that a person signs under")
        return
    # Both files lie in the record, and are those that the event counts.
    if Path(name).is_absolute() or ".." in Path(name).parts:
        yield Finding(10, name, f"lies outside the record, though event {event.seq} counts it")
        return
    # It was signed for this run.
    if not name.startswith(folder := _folder(event)):
        yield Finding(10, name, f"lies not in {folder}, though event {event.seq} counts it for this run")
        return
    files = []
    for place, bound in ((name, content.sha256), (f"{name}.sig", content.signature_sha256)):
        file = _plain(store, place)
        if file is None:
            yield Finding(10, place, f"is missing, or no file, though event {event.seq} counts it")
            return
        if stored_file.sha256(file, _LARGEST) != bound:
            yield Finding(10, place, f"is not the file event {event.seq} counts")
            return
        files.append(file)
    path, signature = files
    # What was signed says what the event says.
    text = stored_file.read(path, _LARGEST)
    if (problem := _contradiction(text, event, trust.key.origin if trust is not None else "")) or (
        problem := _unfit(text, event, known.made)
    ):
        yield Finding(10, name, problem)
    # The signature verifies: before the roster, since it tells more.
    elif (with_signature and (problem := _refused(text, event, trust, signature))) or (
        problem := _otherwise_made(event, signature) or _too_new(event, signature, known.asked_of)
    ):
        yield Finding(10, f"{name}.sig", problem)
    # The roster in force has the signer under this name and in this role.
    elif problem := _not_in_roster(text, event, trust):
        yield Finding(10, name, problem)


look_at_signature = partial(look_at_statement, with_signature=True)


def _contradiction(text: bytes, event: Event, origin: str) -> str | None:
    """Where the signed text says something else than the event, or None."""
    try:
        signed = json.loads(text)
        again = canonical(signed)
    except (ValueError, RecursionError, IllegalEvent):
        signed = again = None
    if not isinstance(signed, dict) or again != text:
        return "is not canonical JSON"
    data = event.content.as_data()
    wrong = [key for key in _OF_THE_SIGNER if key in data and (key not in signed or (signed[key] or None) != data[key])]
    # As JSON, which tells 1 from true.
    wrong += [key for key in _OF_BOTH if (key in signed or key in data) and _json(signed, key) != _json(data, key)]
    wrong += ["run"] if signed.get("run", event.run) != event.run else []
    wrong += ["origin"] if signed.get("origin", origin) != origin else []
    return f"says another {', '.join(wrong)} than event {event.seq}" if wrong else None


def _unfit(text: bytes, event: Event, made: datetime | None) -> str | None:
    """Why what was signed is none of its kind, or None: its meaning; under a request its keys and times, an override's end."""
    signed = json.loads(text)
    if wrong := wrong_meaning(event.type, signed.get("meaning")):
        return wrong
    own = _UNDER_A_REQUEST.get(type(event.content))
    if own is None:
        return None
    if signed.keys() != _OF_EACH | own:
        return f"must hold exactly {', '.join(sorted(_OF_EACH | own))}"
    for key in ("signed_at", "expires") if isinstance(event.content, OverrideSigned) else ("signed_at",):
        try:
            parse_stamp(signed[key])
        except (KeyError, TypeError, ValueError):
            return f"its {key} is no UTC time like 2026-11-22T20:25:07.951Z"
    signed_at = parse_stamp(signed["signed_at"])
    wrong = wrong_time(signed_at, made, event.instant)
    if not wrong and isinstance(event.content, OverrideSigned):
        wrong = wrong_lifetime(signed_at, parse_stamp(signed["expires"]))
    return wrong or None


def _not_in_roster(text: bytes, event: Event, trust: TrustSet | None) -> str | None:
    """Where the roster in force at the event has the signer under another name, or without the role; else None."""
    signed = json.loads(text)
    try:
        person = json.loads(trust.files["roles.json"] if trust is not None else b"{}")[signed["signer"]]
        printed_name, roles = person["printed_name"], person["roles"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"is signed by nobody whom the roster in force at event {event.seq} knows"
    if signed.get("printed_name") != printed_name or signed.get("role") not in roles:
        return f"says another name or role of {signed['signer']} than the roster in force at event {event.seq}"
    return None


def signed_in(event: Event) -> Signed:
    return cast("Signed", event.content)


def _json(values: Mapping[str, Any], key: str) -> bytes | None:
    return canonical(values[key]) if key in values else None


def _otherwise_made(event: Event, signature: Path) -> str | None:
    """Where the event says more, or less, of how the signature was made than its FIDO flags; None where both agree."""
    said = given(signed_in(event).user_verification)
    if said is None:
        return None
    try:
        found = sshsig.read(stored_file.read(signature, _LARGEST)).user_verification
    except sshsig.BadSignature as error:
        return f"is no signature: {error}"
    return None if said == found else f"has the user verification {found}, not {said}, as event {event.seq} says"


def _too_new(event: Event, signature: Path, asked_of: TrustSet | None) -> str | None:
    """Why the key of an approval or override was not its signer's when the request was made, or None."""
    if asked_of is None or not isinstance(event.content, ApprovalSigned | OverrideSigned):
        return None
    try:
        read = sshsig.read(stored_file.read(signature, _LARGEST))
    except sshsig.BadSignature as error:
        return f"is no signature: {error}"
    allowed = asked_of.files.get("allowed_signers", b"")
    if signed_in(event).signer in sshsig.signer_of(read, allowed, at=event.time):
        return None
    return f"is by a key that was no signer's when the request was made (event {event.seq} counts it)"


def _refused(text: bytes, event: Event, trust: TrustSet | None, signature: Path) -> str | None:
    """What ssh-keygen says against the signature, or None."""
    namespaces = namespaces_of(trust.files) if trust is not None else set()
    if trust is None or len(namespaces) != 1:
        return "cannot be checked: allowed_signers names no namespace, or more than one"
    _, problem = verify_files(
        text,
        signature=signature,
        allowed_signers=trust.folder / "allowed_signers",
        signer=signed_in(event).signer,
        namespace=namespaces.pop(),
        at=event.time,
        occasion=f" at the time of event {event.seq}",
    )
    return problem or None
