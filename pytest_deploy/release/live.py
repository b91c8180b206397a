"""What is live: the release that serves, the environment around it, and what a rollback returns to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import convert, to_builtins

from pytest_deploy.errors import ManualInterventionRequired, Refused
from pytest_deploy.migrate import ledger, snapshot
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.session import connect
from pytest_deploy.platform.environment import Environment
from pytest_deploy.platform.protocol import Platform
from pytest_deploy.record import stored_file
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import RequestMade, RevisionDeployed, RunOpened
from pytest_deploy.record.open_record import new_record_command
from pytest_deploy.workspace import Workspace


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
        return convert(value, cls)

    def to_json(self) -> dict[str, Any]:
        """For a request or an event."""
        release: dict[str, Any] = to_builtins(self)
        return release


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
        return convert(value, cls)

    def to_json(self) -> dict[str, Any]:
        """For a request or an event."""
        baseline: dict[str, Any] = to_builtins(self)
        return baseline


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
    applied = tuple(migration.version for migration in _applied(platform))
    schema = (
        snapshot.snapshot(platform.database.owner, platform.database.programs)
        if platform.has_database
        else snapshot.NONE
    )
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


def refuse_newest_secrets(platform: Platform, revision: str) -> None:
    """What a rollback returns to has the secrets that it had: each by its version. Raises Refused, PlatformUnavailable."""
    if unpinned := platform.runtime.revision(revision).unpinned:
        raise Refused(
            f"{revision} serves with the newest version of a secret, whichever that is when an instance starts: {', '.join(unpinned)}; "
            "a rollback to it would be one to something else, and the new revision takes it over: name the version in the service's "
            "template (`gcloud run services update SERVICE --update-secrets=NAME=SECRET:VERSION`), then run again"
        )


def _applied(platform: Platform) -> tuple[Applied, ...]:
    """What is applied now, in order; nothing where there is no database."""
    if not platform.has_database:
        return ()
    with connect(platform.database.owner, autocommit=True) as connection:
        return ledger.applied(connection)


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
    applied = [(migration.version, migration.sha256 or "") for migration in _applied(platform)]
    return {
        "image": release.image,
        "commit": release.commit,
        "version": release.version,
        "migrations_sha256": migrations_sha256(applied),
    }


def refuse_serving(environment: Environment) -> None:
    """A record does not begin, as if it were the first, where a release serves. Raises Refused, PlatformUnavailable."""
    runtime = environment.platform.runtime
    for share in runtime.state().shares:
        version = runtime.revision(share.revision).annotations.get("deploy.version")
        if share.percent and version:
            anew = new_record_command(environment.workspace)
            raise Refused(
                f"{version} serves here ({share.revision}), and there is no record of how it came: restore the record from a copy, "
                f"or say that a new one begins: `{anew}`"
            )


def expected(events: Sequence[Event], run_folder: Path, platform: Platform) -> Release:
    """The release a run deploys; where it deploys none, the one that serves. Raises Refused where there is neither."""
    if not any(of_type(events, RequestMade)):
        release = read_baseline(platform).release
        if release is None:
            first = Workspace.of_store(run_folder.parents[1]).command_line("run")
            raise Refused(f"no release serves here yet: deploy one first: `{first}`")
        return release
    request = json.loads(
        stored_file.read(stored_file.file_of(run_folder.parents[1], f"runs/{run_folder.name}/request.json"))
    )
    _, opened = next(of_type(events, RunOpened))
    deployed = [content.revision for _, content in of_type(events, RevisionDeployed)]
    return Release(
        version=opened.version,
        commit=opened.commit,
        image=request["artefact"]["image"],
        migrations=tuple(migration["version"] for migration in request["migrations"]),
        revision=deployed[-1] if deployed else "",
    )
