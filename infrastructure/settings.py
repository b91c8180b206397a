"""What differs between stacks, read from the stack's configuration: `Pulumi.<stack>.yaml`."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

RETENTION_DAYS = 2557
"""Seven years with both leap days they may hold, as `retention.days` of deploy.yaml."""


@dataclass(frozen=True)
class Settings:
    """The configuration of one stack."""

    project: str
    region: str
    service: str
    """Also the prefix of what belongs to it."""
    alert_email: str
    database_tier: str
    highly_available: bool
    retention_locked: bool
    """A lock cannot be taken back by anybody: false in a project that is to be deleted again."""
    max_instances: int
    labels: dict[str, str]


def read_settings() -> Settings:
    """The stack's settings. Raises pulumi.ConfigMissingError, naming the key and the command that sets it."""
    google, own = pulumi.Config("gcp"), pulumi.Config()
    service = own.get("service") or pulumi.get_project()
    return Settings(
        project=google.require("project"),
        region=google.require("region"),
        service=service,
        alert_email=own.require("alertEmail"),
        database_tier=own.get("databaseTier") or "db-custom-1-3840",
        highly_available=own.get_bool("highlyAvailable") or False,
        retention_locked=own.get_bool("retentionLocked") is not False,
        max_instances=own.get_int("maxInstances") or 4,
        labels={"service": service, "stack": pulumi.get_stack()},
    )
