"""The request: what is to be deployed, over what, under which policy. People sign the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pytest_deploy.release.source import Source

_SHOWN: Final = 120
"""Characters of a value that a message quotes."""


@dataclass(frozen=True)
class Release:
    """One deployable state of the service: what serves, or what shall serve."""

    version: str
    commit: str
    image: str
    """`<repository>@sha256:<64 hex>`."""
    migrations: tuple[str, ...]
    """Versions applied where this release serves, in order."""
    revision: str = ""
    """The platform's name of the revision that serves it; empty before there is one."""
    schema_sha256: str = ""
    """Of the normalised schema it runs on; empty before the migrations ran."""

    @property
    def digest(self) -> str:
        """`sha256:<64 hex>` of the artefact."""
        return self.image.partition("@")[2]

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Release:
        """From a request's or an event's object."""
        return cls(**{**value, "migrations": tuple(value["migrations"])})

    def to_json(self) -> dict[str, Any]:
        """For a request or an event."""
        return {**asdict(self), "migrations": list(self.migrations)}


@dataclass(frozen=True)
class Earlier:
    """The environment before the first change: what a rollback returns to."""

    revision: str
    """The sole revision that served 100 %."""
    migrations: tuple[str, ...]
    schema_sha256: str
    """Of the normalised schema, as schema/before.sql holds it."""
    catalog_sha256: str
    """Of the same schema as the catalog query tells it inside a transaction."""
    release: Release | None
    """None where no release had been deployed: the revision is the platform's placeholder."""

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Earlier:
        """From a request's or an event's object."""
        release = value["release"]
        return cls(
            value["revision"],
            tuple(value["migrations"]),
            value["schema_sha256"],
            value["catalog_sha256"],
            None if release is None else Release.of(release),
        )

    def to_json(self) -> dict[str, Any]:
        """For a request or an event."""
        return {
            "revision": self.revision,
            "migrations": list(self.migrations),
            "schema_sha256": self.schema_sha256,
            "catalog_sha256": self.catalog_sha256,
            "release": None if self.release is None else self.release.to_json(),
        }


@dataclass(frozen=True)
class Plan:
    """The plan that made a request: where its evidence lies, and the schema diff its dry run showed."""

    run: str
    schema_diff_sha256: str
    """Of `runs/<run>/schema/planned.diff`."""


OF_THE_ASKING: Final = frozenset({"run", "branch", "expires", "plan", "reason", "ticket"})
"""Keys of a request that say who asked, when and why: nothing that is deployed depends on them."""


def drift(approved: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs between an approved request and what the same request would say now, one sentence a key."""
    keys = sorted((approved.keys() | found.keys()) - OF_THE_ASKING)
    return tuple(
        f"{key} was {_short(approved.get(key))}, is {_short(found.get(key))}"
        for key in keys
        if approved.get(key) != found.get(key)
    )


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def migrations_sha256(migrations: Iterable[tuple[str, str]]) -> str:
    """One digest of a migration set: of the lines `version sha256`, in order."""
    return hashlib.sha256("".join(f"{version} {sha256}\n" for version, sha256 in migrations).encode()).hexdigest()


def render(
    *,
    environment: str,
    run: str,
    source: Source,
    image: str,
    migrations: Sequence[Mapping[str, str]],
    earlier: Earlier,
    policy_sha256: str,
    steps_sha256: str,
    expires: str,
    reason: str = "",
    ticket: str = "",
    plan: Plan | None = None,
) -> bytes:
    """request.json's bytes: canonical JSON and a newline. `migrations` are {version, name, sha256}, in order.

    `plan` is what people are shown beside it; None where a run makes its request itself.
    """
    request = {
        "artefact": {"image": image},
        "commit": source.commit,
        "branch": source.branch,
        "dirty": source.dirty,
        "earlier": earlier.to_json(),
        "environment": environment,
        "expires": expires,
        "infrastructure": None,
        "migrations": list(migrations),
        "plan": None if plan is None else asdict(plan),
        "policy_sha256": policy_sha256,
        "reason": reason,
        "run": run,
        "steps_sha256": steps_sha256,
        "ticket": ticket,
        "version": source.version,
    }
    return (
        json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode() + b"\n"
    )


def digest(content: bytes) -> str:
    """SHA-256 hex of the request's bytes."""
    return hashlib.sha256(content).hexdigest()
