"""Who administers the environment's own database is read back from it before anything is deployed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_deploy.platform.embedded import connect
from pytest_deploy.platform.embedded.places import ROOT_VARIABLE
from pytest_deploy.record.actor import local_user
from tests.project_checkout import Checkout
from tests.stories.output_assertions import COLOURED
from tests.unit.verify.second_verifier import both

LISTED = "administrators: {database: {postgres: dana@example.org}}"


def test_a_database_that_somebody_else_administers_too_is_deployed_to_once_they_are_gone(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(checkout.memory))
    _list_the_administrators(checkout)
    _enroll_the_deployer(checkout, tmp_path)
    _do(checkout, "create role eve login createrole")

    ran = checkout.deploy(COLOURED)

    assert ran.code == 1, ran.said
    refused = _verdicts(checkout)["gate.refused"]
    assert refused["reason"] == "eve administers the database (createrole) and is not listed"
    assert refused["inputs"]["listed"] == {"database": {"postgres": "dana@example.org"}}
    assert "eve administers the database (createrole) and is not listed" in ran.stdout
    assert checkout.said("revision.deployed") == []

    _do(checkout, "drop role eve")
    ran = checkout.deploy()

    assert ran.code == 0, ran.said
    passed = _verdicts(checkout)["gate.passed"]
    assert passed["reason"].startswith(
        "who administers the database (1 of 1 accounts), as each tells itself, is listed"
    )
    assert passed["inputs"]["person"] == "dora@example.org"
    assert passed["point"] == "change"
    assert both(checkout.store) == (True, "")

    ran = checkout.deploy('--deploy-set=administrators={"database": {"postgres": "dora@example.org"}}')

    assert ran.code == 1, ran.said
    reason = _verdicts(checkout)["gate.refused"]["reason"]
    assert "dora@example.org, who administers the database as postgres, holds Deployment Manager" in reason
    assert "dora@example.org, who administers the database as postgres, deploys" in reason
    assert checkout.said("revision.deployed") == []


def _verdicts(checkout: Checkout) -> dict[str, dict[str, Any]]:
    """What the gate said in the last run, the newest of each kind."""
    told = [event for event in checkout.events(checkout.last_run()) if event.data.get("gate") == "administrators"]
    return {event.type: dict(event.data) for event in told}


def _list_the_administrators(checkout: Checkout) -> None:
    written = (checkout.path / "deploy.yaml").read_text(encoding="utf-8")
    checkout.write("deploy.yaml", written.replace("  local:\n", f"  local:\n    {LISTED}\n"))
    checkout.commit("List who administers the database")


def _enroll_the_deployer(checkout: Checkout, folder: Path) -> None:
    key = folder / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(words, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    who = ("--person=dora@example.org", "--name=Dora Diaz", "--role=Deployment Manager", f"--local={local_user()}")
    ran = checkout.deploy_py("keys", "enroll", "local", *who, "--public-key", f"{key}.pub", "--reason", "OPS-1")
    assert ran.code == 0, ran.said


def _do(checkout: Checkout, statement: str) -> None:
    """A statement in the environment's database, as whoever holds its server could type it."""
    platform = connect(checkout.path, environment="local", service="diary", command=("python", "-m", "diary"))
    try:
        with psycopg.connect(platform.database.owner, autocommit=True) as connection:
            connection.execute(statement.encode())
    finally:
        platform.close()
        checkout.assert_nothing_runs(10)
