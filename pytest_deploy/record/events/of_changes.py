"""What was done to the environment, and what was seen of it: migrations, backups, revisions, traffic, rollback, freezes, alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from pytest_deploy.record.events.content import EventContent, Number, Sha256


class Migration(EventContent, frozen=True, kw_only=True):
    """One migration that ran, in either direction."""

    version: str
    sha256: Sha256
    """Of the file; zeros where it is not known."""
    duration_s: Number
    schema_before: dict[str, Any] | None
    """`version` and `sha256` of the schema; null between migrations that commit together."""
    schema_after: dict[str, Any] | None
    engine: str
    name: str | UnsetType = UNSET
    file: str | UnsetType = UNSET
    statements: int | UnsetType = UNSET
    transaction: str | UnsetType = UNSET
    compatible: str | UnsetType = UNSET
    lossy: dict[str, Any] | UnsetType | None = UNSET
    saved: list[Any] | UnsetType = UNSET
    """Rows saved before they were lost: `place`, `table`, `count`, `sha256`."""
    by: str | UnsetType = UNSET
    direction: str | UnsetType = UNSET
    schema_diff: str | UnsetType = UNSET
    rehearsal: dict[str, Any] | UnsetType | None = UNSET


class MigrationApplied(Migration, frozen=True, kw_only=True):
    """A migration moved the schema forward."""


class MigrationRolledBack(Migration, frozen=True, kw_only=True):
    """A migration was undone."""


class BackupCreated(EventContent, frozen=True, kw_only=True):
    """A backup lies where it says, before anything changes."""

    kind: str
    place: str
    bytes: int
    sha256: Sha256 | None
    restorable: bool | None
    """Whether it was restored as a trial; null where that was not tried."""
    format: str | UnsetType = UNSET
    duration_s: Number | UnsetType = UNSET
    server_version: str | UnsetType = UNSET
    tables: dict[str, Any] | UnsetType = UNSET
    rows: int | UnsetType = UNSET
    restore: dict[str, Any] | UnsetType = UNSET
    table: str | UnsetType = UNSET
    migration: str | UnsetType = UNSET
    program: dict[str, Any] | UnsetType = UNSET
    """What made it: `path`, `version` and `sha256` of pg_dump."""


class RevisionDeployed(EventContent, frozen=True, kw_only=True):
    """A revision of the service exists, without traffic."""

    revision: str
    image: str
    url: str | None
    env_names: list[Any]
    """Names of its environment variables; values are no evidence."""
    tag: str | UnsetType = UNSET
    service: str | UnsetType = UNSET
    duration_s: Number | UnsetType = UNSET
    annotations: dict[str, Any] | UnsetType = UNSET


class TrafficMoved(EventContent, frozen=True, kw_only=True):
    """Requests go to other revisions than before."""

    before: dict[str, Any]
    """Revision -> percent."""
    after: dict[str, Any]
    digest: str | None
    """Of the artefact that serves now."""
    revision: str | UnsetType | None = UNSET
    url: str | UnsetType = UNSET
    tags: dict[str, Any] | UnsetType = UNSET
    duration_s: Number | UnsetType = UNSET
    service: str | UnsetType = UNSET


class RollbackStarted(EventContent, frozen=True, kw_only=True):
    """What was changed is being undone."""

    cause: str
    order: list[Any]
    """What is undone, in this order."""
    target: Any
    """The version that is restored; `none` where nothing served before."""


class RollbackFinished(EventContent, frozen=True, kw_only=True):
    """How the rollback ended."""

    outcome: Literal["rolled-back", "rollback-failed"]
    duration_s: Number
    target: Any
    cause: str | UnsetType | None = UNSET


class EnvironmentFrozen(EventContent, frozen=True, kw_only=True):
    """No run may deploy here until people release the environment."""

    reason: str
    commit: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    incident: str | UnsetType | None = UNSET


class AlertRaised(EventContent, frozen=True, kw_only=True):
    """Something deserves a look; it decides nothing."""

    alert: str
    detail: str
    severity: str | UnsetType = UNSET
    phase: str | UnsetType = UNSET
    nodeid: str | UnsetType = UNSET
    after_s: Number | UnsetType = UNSET
    value: Any | UnsetType = UNSET


class ClockSkewed(EventContent, frozen=True, kw_only=True):
    """A writer's clock was behind the log, or a mended one let time start again."""

    skew_s: Number
    source: str
    observed: datetime | UnsetType = UNSET
    """The writer's own time."""
    restart: datetime | UnsetType = UNSET
    """From this instant time may start again; written by `recover --clock` alone."""


class NotificationSent(EventContent, frozen=True, kw_only=True):
    """Somebody was told."""

    channel: str
    """The kind of address, e.g. `slack`; `none` where there was none."""
    subject: str
    recipients: list[Any] | UnsetType = UNSET
    """Who, as policy names the route."""
    anchor: str | UnsetType = UNSET
    """The anchor line that went with it."""
    detail: str | UnsetType = UNSET
    """Of what: the occasion, and the event it tells of."""
    duration_s: Number | UnsetType = UNSET


class NotificationFailed(EventContent, frozen=True, kw_only=True):
    """Somebody could not be told, and why."""

    channel: str
    """The kind of address, e.g. `slack`; `none` where there was none."""
    subject: str
    reason: str
    recipients: list[Any] | UnsetType = UNSET
    """Who, as policy names the route."""
    attempts: int | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    """Of what: the occasion, and the event it tells of."""
