"""What people signed of a run, its request.json, and what the run's events say that is otherwise."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import sshsig, stored_file
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.events import (
    ApprovalSigned,
    MigrationApplied,
    OverrideSigned,
    RequestMade,
    RevisionDeployed,
    RunOpened,
    TrafficMoved,
    given,
)

Change = RevisionDeployed | MigrationApplied | TrafficMoved
_STATED: Final = ("commit", "environment", "version")
"""What `run.opened` and the request that people signed both say."""


def place(run: str) -> str:
    """Where a run's request lies in a store."""
    return f"runs/{run}/request.json"


def read_request(store: Path, run: str) -> Mapping[str, Any]:
    """A run's request; empty where it cannot be read, or is no canonical JSON of an object.

    That its folder is the store's own, and no link, is told by the steps that go through all folders.
    """
    with suppress(OSError):
        return request_in(stored_file.read(os.path.join(store, place(run))))  # noqa: PTH118 -- asked a hundred thousand times
    return {}


def request_in(text: bytes) -> Mapping[str, Any]:
    """The request in the bytes of its file; empty where they are no canonical JSON of an object."""
    with suppress(ValueError, RecursionError, IllegalEvent):
        request = json.loads(text)
        if isinstance(request, dict) and canonical(request) == text:
            return request
    return {}


def another_request(made: RequestMade, request: Mapping[str, Any], signed: str) -> Iterator[str]:
    """Where the event of a request states another plan or end than people signed (`signed` says where)."""
    plan = request.get("plan")
    planned = plan.get("run") if isinstance(plan, dict) else None
    if "plan" in request and planned != given(made.plan, None):
        yield f"names the plan {given(made.plan, 'none')}, and {signed} says {planned or 'none'}"
    said = None if made.expires is None else stamp(made.expires)
    if "expires" in request and request["expires"] != said:
        yield f"expires {said or 'never'}, and {signed} says {request['expires']}"


def another_release(opened: RunOpened, policy_sha256: object, request: Mapping[str, Any], signed: str) -> Iterator[str]:
    """What a run was opened with and what people signed, where these differ."""
    if request.get("policy_sha256") != policy_sha256:
        yield f"goes on under another policy than {signed} says"
    for key in _STATED:
        if request.get(key) != getattr(opened, key):
            yield f"goes on with another {key} than {signed} says"
    artefact = _digest(_image(request))
    if opened.image is not None and artefact and _digest(opened.image) != artefact:
        yield f"goes on with another image than {signed} says"


def another_change(changed: Change, request: Mapping[str, Any], signed: str) -> Iterator[str]:
    """A revision of another artefact than people signed, or traffic to it; a migration that they did not sign."""
    artefact = _digest(_image(request))
    match changed:
        case RevisionDeployed(image=image):
            if not _digest(image) or _digest(image) != artefact:
                yield f"deploys another artefact than {signed} says"
        case TrafficMoved(digest=str(moved)):
            # A platform tells a digest alone, or with the repository before it.
            if artefact and (_digest(moved) or moved) != artefact:
                yield f"moves traffic to another artefact than {signed} says"
        case MigrationApplied(version=version, sha256=sha256):
            listed = request.get("migrations")
            known = listed if isinstance(listed, list) else []
            if not any(
                isinstance(one, dict) and (one.get("version"), one.get("sha256")) == (version, sha256) for one in known
            ):
                yield f"applies a migration {version} that {signed} does not have"
        case _:  # traffic of which no artefact is said
            pass


def _image(request: Mapping[str, Any]) -> str:
    artefact = request.get("artefact")
    return str(artefact.get("image")) if isinstance(artefact, dict) else ""


def _digest(image: str) -> str:
    """What follows the `@` of an image; empty where nothing does."""
    return image.partition("@")[2]


def still_signs(
    store: Path, signed: ApprovalSigned | OverrideSigned, people: Mapping[str, bytes], at: datetime
) -> bool:
    """Whether the key of a signature is its signer's, and valid, in a trust set at an instant.

    A signature that cannot be read is named where its event is looked at, and says nothing here.
    """
    try:
        signature = sshsig.read(stored_file.read(stored_file.file_of(store, f"{signed.file}.sig")))
    except (OSError, ValueError, stored_file.NotOfARecord, sshsig.BadSignature):
        return True
    return signed.signer in sshsig.signer_of(signature, people.get("allowed_signers", b""), at=at)
