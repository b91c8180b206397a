"""Who the service runs as, and who deploys it. What each may do is granted in the module of the thing it is granted on."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_gcp import serviceaccount
from settings import Settings


@dataclass(frozen=True)
class Accounts:
    """The two service accounts, as members of IAM policies."""

    service: serviceaccount.Account
    deployer: serviceaccount.Account


def make_accounts(settings: Settings) -> Accounts:
    """Two accounts: neither has a key, and the deployer acts as the service's without holding its rights elsewhere."""
    service = serviceaccount.Account(
        "service",
        account_id=f"{settings.service}-service",
        project=settings.project,
        display_name=f"{settings.service} runs as this",
    )
    deployer = serviceaccount.Account(
        "deployer",
        account_id=f"{settings.service}-deployer",
        project=settings.project,
        display_name=f"{settings.service} is deployed by this",
    )
    # A revision is made *as* the service's account: without this, creating one is refused.
    serviceaccount.IAMMember(
        "deployer-acts-as-service",
        service_account_id=service.name,
        role="roles/iam.serviceAccountUser",
        member=deployer.member,
    )
    # The smoke steps' identity tokens are minted per use, by the deployer for itself.
    serviceaccount.IAMMember(
        "deployer-mints-identity-tokens",
        service_account_id=deployer.name,
        role="roles/iam.serviceAccountOpenIdTokenCreator",
        member=deployer.member,
    )
    pulumi.export("serviceAccount", service.email)
    pulumi.export("deployer", deployer.email)
    return Accounts(service, deployer)
