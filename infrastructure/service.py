"""The Cloud Run service itself. Its revisions and its traffic belong to the deployment, and are ignored here."""

from __future__ import annotations

import pulumi
from accounts import Accounts
from pulumi_gcp import cloudrunv2
from settings import Settings

_PLACEHOLDER = "us-docker.pkg.dev/cloudrun/container/hello"
"""Serves until the first deployment; never again, for what it is set in is ignored from then on."""


def make_service(settings: Settings, accounts: Accounts) -> cloudrunv2.Service:
    """The service with a placeholder revision. Template and traffic are ignored whole: nested paths lose required arguments."""
    service = cloudrunv2.Service(
        "service",
        name=settings.service,
        project=settings.project,
        location=settings.region,
        ingress="INGRESS_TRAFFIC_ALL",
        deletion_protection=True,
        labels=settings.labels,
        template={
            "containers": [{"image": _PLACEHOLDER}],
            "service_account": accounts.service.email,
            "scaling": {"max_instance_count": settings.max_instances},
        },
        opts=pulumi.ResourceOptions(
            protect=True,
            ignore_changes=["template", "traffics", "client", "clientVersion"],
        ),
    )
    for name, role in (("revises", "roles/run.developer"), ("calls", "roles/run.invoker")):
        cloudrunv2.ServiceIamMember(
            f"deployer-{name}-service",
            name=service.name,
            project=settings.project,
            location=settings.region,
            role=role,
            member=accounts.deployer.member,
        )
    pulumi.export("serviceUrl", service.uri)
    return service
