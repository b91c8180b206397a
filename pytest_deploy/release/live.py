"""What is live: the release that serves, the environment around it, and what a rollback returns to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg

from pytest_deploy.errors import ManualInterventionRequired, Refused
from pytest_deploy.migrate import ledger, snapshot
from pytest_deploy.platform.protocol import Platform
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RequestMade, RevisionDeployed, RunOpened


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
class Baseline:
    """The environment before the first change: what a rollback returns to. Requests and events call it `earlier`."""

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
    def of(cls, value: Mapping[str, Any]) -> Baseline:
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


def read_baseline(platform: Platform) -> Baseline:
    """What the environment is now, before any change.

    Raises PlatformUnavailable where it cannot be read, ManualInterventionRequired where traffic is split.
    """
    state = platform.runtime.state()
    name = state.sole_revision()
    if name is None or not state.settled:
        raise ManualInterventionRequired(
            f"traffic is split or moving ({', '.join(f'{s.revision} {s.percent} %' for s in state.shares)}): there is no "
            "sole revision to return to; give one revision all traffic, then run again"
        )
    with psycopg.connect(platform.database.owner, autocommit=True) as connection:
        applied = tuple(migration.version for migration in ledger.applied(connection))
    schema = snapshot.snapshot(platform.database.owner, platform.database.programs)
    revision = platform.runtime.revision(name)
    release = None
    if version := revision.annotations.get("deploy.version"):
        release = Release(
            version=version,
            commit=revision.annotations.get("deploy.commit", ""),
            image=revision.image,
            migrations=applied,
            revision=name,
            schema_sha256=schema.sha256,
        )
    return Baseline(name, applied, schema.sha256, schema.catalog, release)


def migrations_sha256(migrations: Iterable[tuple[str, str]]) -> str:
    """One digest of a migration set: of the lines `version sha256`, in order."""
    return sha256("".join(f"{version} {digest}\n" for version, digest in migrations).encode()).hexdigest()


def serving(platform: Platform) -> dict[str, Any] | None:
    """What serves now, as `run.opened` states it under `target`: image, commit, version and the digest of its migration set.

    None before the first release.
    """
    release = read_baseline(platform).release
    if release is None:
        return None
    with psycopg.connect(platform.database.owner, autocommit=True) as connection:
        applied = [(migration.version, migration.sha256 or "") for migration in ledger.applied(connection)]
    return {
        "image": release.image,
        "commit": release.commit,
        "version": release.version,
        "migrations_sha256": migrations_sha256(applied),
    }


def expected(events: Sequence[Event], run_folder: Path, platform: Platform) -> Release:
    """The release a run deploys; where it deploys none, the one that serves. Raises Refused where there is neither."""
    contents = [event.content for event in events]
    if not any(isinstance(content, RequestMade) for content in contents):
        release = read_baseline(platform).release
        if release is None:
            raise Refused("no release serves here yet: deploy one first, `pytest --deploy-env=ENV`")
        return release
    request = json.loads((run_folder / "request.json").read_bytes())
    opened = next(content for content in contents if isinstance(content, RunOpened))
    deployed = [content.revision for content in contents if isinstance(content, RevisionDeployed)]
    return Release(
        version=opened.version,
        commit=opened.commit,
        image=request["artefact"]["image"],
        migrations=tuple(migration["version"] for migration in request["migrations"]),
        revision=deployed[-1] if deployed else "",
    )
