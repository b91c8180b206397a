"""Once the schema stands, the service gets what it needs of it: its rights, and the account that smoke tests use."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from pytest_deploy import Environment, Migrations, StepRecord, make_account


@pytest.mark.step(changes=True)
def test_service_role_has_what_it_needs(migrations: Migrations, record: StepRecord) -> None:
    """The role that the service logs in as gets the rights of `database.service_group`, which migrations grant to."""
    admitted = migrations.admit_service()
    if admitted is None:
        record.not_applicable("deploy.yaml names no database.service_group: the service has the rights of PUBLIC")
    record.expect(migrations.policy.service_group, asdict(admitted))


@pytest.mark.step(changes=True)
def test_synthetic_account_is_ready(environment: Environment, record: StepRecord) -> None:
    """The account that smoke tests use: flagged, so that study exports leave it out."""
    if environment.policy.service.account is None:
        record.not_applicable("deploy.yaml names no command that makes an account")
    record.expect("an account", make_account(environment))
