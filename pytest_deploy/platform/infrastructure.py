"""What is said of an environment's infrastructure: what a program would change, what the stack's state is, what was done before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from msgspec import ValidationError, convert

DESTROYS: Final = frozenset(
    {"delete", "delete-replaced", "replace", "create-replacement", "discard", "discard-replaced"}
)
"""The engine's operations after which what was there is there no longer."""


@dataclass(frozen=True, order=True)
class Change:
    """What the engine would do, or did, to one resource."""

    urn: str
    """Pulumi's name of the resource, unique in the world of its stack."""
    operation: str
    """The engine's word: `create`, `update`, `delete`, `replace`, `create-replacement`, `delete-replaced`, `import` and so on."""
    type: str
    """`gcp:storage/bucket:Bucket`."""
    paths: tuple[str, ...] = ()
    """Of the properties that differ, sorted."""
    replace_keys: tuple[str, ...] = ()
    """Of the properties whose difference makes it anew, sorted."""
    inputs_sha256: str = ""
    """Of the new inputs as the engine shows them, secrets masked, in canonical JSON; empty where there are none."""

    @property
    def name(self) -> str:
        """The program's own name of the resource."""
        return self.urn.rpartition("::")[2]

    def __str__(self) -> str:
        paths = f" ({', '.join(self.paths)})" if self.paths else ""
        return f"{self.operation} {self.type} {self.name}{paths}"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Change:
        """As a preview wrote it. Raises ValueError where it is no change."""
        try:
            return convert(content, cls)
        except ValidationError as error:
            raise ValueError(f"{content!r} is no change of a preview: {error}") from None


@dataclass(frozen=True)
class Preview:
    """What a program would change."""

    changes: tuple[Change, ...]
    """Sorted; without what stays as it is."""

    @property
    def digest(self) -> str:
        """SHA-256 hex over all of it in canonical JSON: two previews with one digest do the same."""
        return digest_of([asdict(change) for change in self.changes])

    def to_json(self) -> dict[str, Any]:
        """For a request: what people sign."""
        return {"changes": [asdict(change) for change in self.changes], "digest": self.digest}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Preview:
        """As `to_json` wrote it. Raises ValueError where the digest is not that of the changes."""
        preview = cls(tuple(map(Change.from_json, content["changes"])))
        if preview.digest != content["digest"]:
            raise ValueError(f"the preview says digest {content['digest']}, its changes have {preview.digest}")
        return preview


@dataclass(frozen=True, order=True)
class PendingOperation:
    """What an interrupted update had begun: the engine does not know how it ended."""

    urn: str
    operation: str
    """`creating`, `updating`, `deleting`, `reading` or `importing`."""
    type: str
    inputs: Mapping[str, Any] = field(compare=False, hash=False, repr=False, default_factory=dict)

    def __str__(self) -> str:
        return f"{self.operation} {self.type} {self.urn.rpartition('::')[2]}"


@dataclass(frozen=True)
class StackState:
    """What the stack holds, without what changes by itself: times, and what the cloud computes (etags, generations)."""

    resources: Mapping[str, str]
    """By URN: SHA-256 hex over type, id, parent, protection and inputs, but for ignored ones; secrets masked."""
    pending: tuple[PendingOperation, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 hex over the resources."""
        return digest_of(dict(self.resources))

    def differences(self, other: StackState) -> tuple[str, ...]:
        """URNs of resources that are in one alone, or not the same in both; sorted."""
        urns = self.resources.keys() | other.resources.keys()
        return tuple(sorted(urn for urn in urns if self.resources.get(urn) != other.resources.get(urn)))

    def to_json(self) -> dict[str, Any]:
        """For a request, as the baseline that a rollback returns to."""
        return {"digest": self.digest, "resources": dict(sorted(self.resources.items()))}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> StackState:
        """As `to_json` wrote it. Raises ValueError where the digest is not that of the resources."""
        state = cls(dict(content["resources"]))
        if state.digest != content["digest"]:
            raise ValueError(f"the stack's state says digest {content['digest']}, its resources have {state.digest}")
        return state


@dataclass(frozen=True)
class Update:
    """One entry of the stack's history. An update that was killed leaves none."""

    kind: str
    """`update`, `refresh`, `import`, `destroy`."""
    result: str
    """`succeeded`, `failed`, `in-progress`."""
    message: str
    started: str
    """ISO 8601, UTC."""


@dataclass(frozen=True)
class Applied:
    """What an update did."""

    changes: tuple[Change, ...]
    """Those that were done, sorted."""
    state: StackState
    """After it."""

    def to_json(self) -> bytes:
        """For the record: what was done and what the stack is, as indented JSON."""
        content = {"changes": [asdict(change) for change in self.changes], "state": self.state.to_json()}
        return json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"


@dataclass(frozen=True)
class InterruptedUpdate:
    """An update whose run died, as that run's own log tells it: what lets its locks be told from others'."""

    hosts: frozenset[str]
    """Names of the machines it may have run on: the run's, and those of who tried to recover it before."""
    began: datetime
    """UTC. A lock of it is not older."""
    ended: datetime
    """UTC, by when it certainly ran no more: its lease's end, or now. A lock of it is not younger."""


@dataclass(frozen=True)
class Recovered:
    """What was made good after an interrupted update."""

    locks_removed: tuple[str, ...] = ()
    """As Pulumi tells them: address, who, where, when."""
    imported: Mapping[str, str] = field(default_factory=dict)
    """By URN: the id under which what had been begun was found, and taken into the state."""
    absent: tuple[str, ...] = ()
    """URNs of what had been begun and does not exist: the provider was asked for it by its id."""
    refreshed: tuple[str, ...] = ()
    """URNs whose update or deletion had been begun, and which were read anew."""
    state: StackState | None = None
    """After it; None where nothing had to be done."""

    def told(self) -> list[str]:
        """What was done, a line each; none where nothing had to be."""
        return [
            *(f"lock removed: {lock}" for lock in self.locks_removed),
            *(f"found and taken into the state: {urn} ({id_})" for urn, id_ in self.imported.items()),
            *(f"begun and not there: {urn}" for urn in self.absent),
            *(f"read anew: {urn}" for urn in self.refreshed),
        ]


def refusals(
    changes: Iterable[Change], *, may_destroy: frozenset[str], never_touched: frozenset[str]
) -> tuple[str, ...]:
    """Why a preview may not be carried out, one sentence each; empty where it may.

    Args:
        changes: of the preview.
        may_destroy: URNs that the request itself names for deletion or replacement.
        never_touched: types that another part of the deployment owns, as it owns the Cloud Run service's revisions. Making the
            resource is allowed: nothing can serve before.
    """
    said = []
    for change in changes:
        if change.type in never_touched and change.operation != "create":
            said.append(
                f"{change}: the deployment itself changes this resource, and Pulumi would send it what its state holds, "
                "the placeholder image among it; take the change out of the program and make it by hand, then refresh"
            )
        elif change.operation in DESTROYS and change.urn not in may_destroy:
            said.append(
                f"{change}: the request does not name it for destruction; name it there, or keep it in the program"
            )
    return tuple(said)


def digest_of(content: Any) -> str:
    """SHA-256 hex of canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class NoInfrastructure:
    """In place of an Infrastructure where an environment has none: its steps are not applicable, and this is the reason."""

    reason: str
