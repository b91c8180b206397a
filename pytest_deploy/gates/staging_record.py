"""What another environment's record says of the releases it has smoked: evidence for the staging-smoke gate.

Read from the files alone, and only from that environment's own record: it verifies, under the origin and the key that are
known here. A rehearsal reads rehearsal stores, a real run real ones; each has an origin, and a key, of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_deploy.errors import RecordError
from pytest_deploy.gates.staging_smoke import Evidence
from pytest_deploy.platform.environment import in_kms
from pytest_deploy.policy.run_context import policy_of
from pytest_deploy.record import log_entry
from pytest_deploy.record.event import Event
from pytest_deploy.record.key import FileSigner, LogKey, parse_vkey
from pytest_deploy.record.open_record import record_store
from pytest_deploy.release.live import migrations_sha256
from pytest_deploy.verify.verify import verify
from pytest_deploy.workspace import Workspace

_WELL = frozenset({"deployed", "passed"})


def evidence_of(workspace: Workspace) -> tuple[Evidence, ...]:
    """Each smoke that ended in the environment of `workspace`, newest last; none where it has no record yet.

    Raises RecordError where the record does not verify, or is another environment's, or nobody here knows its key.
    """
    kept = record_store(workspace, policy_of(workspace))
    if next(iter(kept.names("log/")), None) is None:
        return ()
    store = kept.folder()
    found = verify(store)
    if not found.ok:
        raise RecordError(f"the record {store.name} does not verify: {found.findings[0]}")
    known = _known_key(workspace)
    if found.vkey != known.vkey:
        raise RecordError(
            f"the record in {store.relative_to(workspace.root)} is {found.origin}'s, signed by {found.vkey}; that of "
            f"{known.origin} is signed by {known.vkey}: it is no evidence"
        )
    runs: dict[str, list[Event]] = {}
    for seq in range(found.size):
        event = log_entry.parse((store / log_entry.name(seq)).read_bytes()).event
        runs.setdefault(event.run, []).append(event)
    return tuple(sorted((e for run in runs.values() for e in _smoked(store, run)), key=lambda e: e.at))


def _known_key(workspace: Workspace) -> LogKey:
    """The key the record must be signed with, by a copy that does not lie in the record."""
    policy = policy_of(workspace)
    origin = policy.origin(rehearsal=workspace.rehearsal)
    public = workspace.key_file.with_suffix(".vkey")
    try:
        if public.is_file():
            return _of(origin, parse_vkey(public.read_text(encoding="utf-8").strip()))
        key = policy.record.key
        signer = FileSigner.open(workspace.key_file) if key is None else in_kms(key)
        return LogKey(origin, signer.public)
    except (RecordError, ValueError) as error:
        raise RecordError(
            f"whose record {workspace.store.relative_to(workspace.root)} is cannot be told: {error}; lay a copy of its log.vkey, "
            f"that came by another way, to {public.relative_to(workspace.root)}"
        ) from None


def _of(origin: str, key: LogKey) -> LogKey:
    if key.origin != origin:
        raise ValueError(f"the copy of its key that lies here is a key of {key.origin}, not of {origin}")
    return key


def _smoked(store: Path, events: Sequence[Event]) -> Iterator[Evidence]:
    """What one run's smoke phase is evidence of."""
    smoke = [e for e in events if e.type == "phase.finished" and e.data["phase"] == "smoke"]
    opened = [e for e in events if e.type == "run.opened"]
    closed = [e for e in events if e.type == "run.closed"]
    if not (smoke and opened and closed):
        return
    subject = _subject(store, opened[0], events)
    if subject is not None:
        yield Evidence(
            run=opened[0].run,
            at=smoke[-1].instant,
            commit=subject["commit"],
            digest=subject["image"].partition("@")[2],
            migrations_sha256=subject["migrations_sha256"],
            passed=smoke[-1].data["outcome"] == "passed" and closed[0].data["outcome"] in _WELL,
            verified=True,
            problem="",
        )


def _subject(store: Path, opened: Event, events: Sequence[Event]) -> Mapping[str, Any] | None:
    """What was smoked: the request's release; of smoke alone the one that served."""
    if any(event.type == "request.made" for event in events):
        asked = json.loads((store / "runs" / opened.run / "request.json").read_bytes())
        pairs = ((one["version"], one["sha256"]) for one in asked["migrations"])
        return {
            "commit": asked["commit"],
            "image": asked["artefact"]["image"],
            "migrations_sha256": migrations_sha256(pairs),
        }
    target: Mapping[str, Any] | None = opened.data.get("target")
    return target
