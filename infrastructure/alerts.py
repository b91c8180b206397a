"""Who is told when the service fails between deployments. During one, the deployment itself watches."""

from __future__ import annotations

from typing import Any

from pulumi_gcp import cloudrunv2, monitoring, sql
from settings import Settings

_WINDOW_S = 300


def make_alerts(settings: Settings, service: cloudrunv2.Service, database: sql.DatabaseInstance) -> None:
    """A channel by e-mail, and a policy each for failing answers and for a disk that fills."""
    channel = monitoring.NotificationChannel(
        "on-call",
        display_name=f"{settings.service} on call",
        project=settings.project,
        type="email",
        labels={"email_address": settings.alert_email},
    )
    _alert(
        "failing-answers",
        "more than 5 answers in 5 minutes were 5xx",
        settings=settings,
        channel=channel,
        filter_=service.name.apply(
            lambda name: (
                f'resource.type = "cloud_run_revision" AND resource.labels.service_name = "{name}" AND '
                'metric.type = "run.googleapis.com/request_count" AND metric.labels.response_code_class = "5xx"'
            )
        ),
        threshold=5,
        aligner="ALIGN_DELTA",
    )
    _alert(
        "full-disk",
        "the database's disk is more than 85 % full",
        settings=settings,
        channel=channel,
        filter_=database.name.apply(
            lambda name: (
                f'resource.type = "cloudsql_database" AND resource.labels.database_id = "{settings.project}:{name}" '
                'AND metric.type = "cloudsql.googleapis.com/database/disk/utilization"'
            )
        ),
        threshold=0.85,
        aligner="ALIGN_MEAN",
    )


def _alert(
    name: str,
    title: str,
    *,
    settings: Settings,
    channel: monitoring.NotificationChannel,
    filter_: Any,
    threshold: float,
    aligner: str,
) -> None:
    monitoring.AlertPolicy(
        name,
        display_name=f"{settings.service}: {title}",
        project=settings.project,
        combiner="OR",
        notification_channels=[channel.name],
        conditions=[
            {
                "display_name": title,
                "condition_threshold": {
                    "filter": filter_,
                    "comparison": "COMPARISON_GT",
                    "threshold_value": threshold,
                    "duration": "0s",
                    "aggregations": [{"alignment_period": f"{_WINDOW_S}s", "per_series_aligner": aligner}],
                },
            }
        ],
        user_labels=settings.labels,
    )
