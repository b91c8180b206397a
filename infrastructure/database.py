"""Cloud SQL for PostgreSQL: people and the service log in by IAM, so that no password lies anywhere."""

from __future__ import annotations

import pulumi
from accounts import Accounts
from pulumi_gcp import projects, sql
from pulumi_gcp import storage as google_storage
from settings import Settings
from storage import Buckets

_BACKUPS = 30
_LOG_DAYS = 7
"""Of the write-ahead log, for point-in-time recovery; the most that the instance's edition keeps."""


def make_database(settings: Settings, accounts: Accounts, buckets: Buckets) -> sql.DatabaseInstance:
    """An instance with daily backups and point-in-time recovery, reached through the connector alone, and its database."""
    instance = sql.DatabaseInstance(
        "database",
        name=settings.service,
        project=settings.project,
        region=settings.region,
        database_version="POSTGRES_18",
        deletion_protection=True,
        settings={
            "tier": settings.database_tier,
            "edition": "ENTERPRISE",
            "availability_type": "REGIONAL" if settings.highly_available else "ZONAL",
            "disk_autoresize": True,
            "deletion_protection_enabled": True,
            "connector_enforcement": "REQUIRED",
            "backup_configuration": {
                "enabled": True,
                "point_in_time_recovery_enabled": True,
                "start_time": "07:00",
                "transaction_log_retention_days": _LOG_DAYS,
                "backup_retention_settings": {"retained_backups": _BACKUPS, "retention_unit": "COUNT"},
            },
            "ip_configuration": {"ipv4_enabled": True, "ssl_mode": "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"},
            "database_flags": [{"name": "cloudsql.iam_authentication", "value": "on"}],
            # Sunday, 08:00 UTC: outside every deployment window of deploy.yaml.
            "maintenance_window": {"day": 7, "hour": 8, "update_track": "stable"},
            "user_labels": settings.labels,
        },
        opts=pulumi.ResourceOptions(protect=True),
    )
    sql.Database(
        "diary",
        name=settings.service,
        instance=instance.name,
        project=settings.project,
        opts=pulumi.ResourceOptions(protect=True),
    )
    _grant_access(settings, accounts, instance)
    # The instance's own account writes exports; Cloud SQL asks for more than creating objects (see docs/decisions/0083).
    google_storage.BucketIAMMember(
        "database-writes-landing",
        bucket=buckets.landing.name,
        role="roles/storage.objectAdmin",
        member=instance.service_account_email_address.apply(lambda email: f"serviceAccount:{email}"),
    )
    pulumi.export("databaseInstance", instance.connection_name)
    return instance


def _grant_access(settings: Settings, accounts: Accounts, instance: sql.DatabaseInstance) -> None:
    """Log-ins of both accounts, and roles that hold for this instance alone: Cloud SQL takes conditions on the project."""
    only_here = {
        "title": f"only {settings.service}",
        "expression": instance.name.apply(
            lambda name: (
                f'resource.name == "projects/{settings.project}/instances/{name}"'
                ' && resource.service == "sqladmin.googleapis.com"'
            )
        ),
    }
    for who, account, roles in (
        ("service", accounts.service, ("client", "instanceUser")),
        # editor backs up and exports; it cannot delete a backup.
        ("deployer", accounts.deployer, ("client", "instanceUser", "editor")),
    ):
        sql.User(
            f"{who}-login",
            name=account.email.apply(lambda email: email.removesuffix(".gserviceaccount.com")),
            instance=instance.name,
            project=settings.project,
            type="CLOUD_IAM_SERVICE_ACCOUNT",
        )
        for role in roles:
            projects.IAMMember(
                f"{who}-database-{role}",
                project=settings.project,
                role=f"roles/cloudsql.{role}",
                member=account.member,
                condition=only_here,
            )
