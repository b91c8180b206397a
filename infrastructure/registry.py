"""Where images lie."""

from __future__ import annotations

import pulumi
from accounts import Accounts
from pulumi_gcp import artifactregistry
from settings import Settings


def make_registry(settings: Settings, accounts: Accounts) -> artifactregistry.Repository:
    """A repository of images whose tags never move; who deploys writes to it, and must read from it to make a revision."""
    repository = artifactregistry.Repository(
        "images",
        repository_id=settings.service,
        project=settings.project,
        location=settings.region,
        format="DOCKER",
        docker_config={"immutable_tags": True},
        labels=settings.labels,
        opts=pulumi.ResourceOptions(protect=True),
    )
    for name, role in (("writes", "roles/artifactregistry.writer"), ("reads", "roles/artifactregistry.reader")):
        artifactregistry.RepositoryIamMember(
            f"deployer-{name}-images",
            repository=repository.name,
            project=settings.project,
            location=settings.region,
            role=role,
            member=accounts.deployer.member,
        )
    return repository
