"""What runs is what people signed, also where the log's key writes the events: commit, artefact and migrations of the request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.record.sample_record import IMAGE, MOVED, PERSON, SHA, phase_finished, step_finished, step_started
from tests.unit.verify.insider import Insider

OTHER_SHA = "1" * 64
REVISION: dict[str, Any] = {"revision": "diary-2", "image": IMAGE, "url": None, "env_names": []}
MIGRATION: dict[str, Any] = {
    "version": "0008", "sha256": SHA, "duration_s": 0.5, "schema_before": None, "schema_after": None, "engine": "pgmigrate",
}  # fmt: skip
STEP = "suites/deploy/test_deploy.py::test_it"


@pytest.fixture
def insider(tmp_path: Path) -> Insider:
    return Insider.begin(tmp_path).approve("tina", "quinn")


def change(insider: Insider, event_type: str, data: dict[str, Any]) -> Insider:
    """Announce a change, make it, and move traffic."""
    run = insider.open().ask().run
    for kind, said in (
        ("phase.started", {"phase": "deploy"}),
        ("step.started", step_started(STEP, "deploy", changes=True)),
        (event_type, data),
        ("traffic.moved", MOVED),
        ("step.finished", step_finished(STEP, "deploy")),
        ("phase.finished", phase_finished("deploy")),
    ):
        run.add(kind, said)
    run.close("deployed")
    return insider


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"commit": "1" * 40}, "goes on with another commit than"),
        ({"version": "1.3.0"}, "goes on with another version than"),
        ({"environment": "staging"}, "goes on with another environment than"),
    ],
    ids=["commit", "version", "environment"],
)
def test_another_release_than_was_signed_is_refused(insider: Insider, changes: dict[str, str], problem: str) -> None:
    insider.open(**changes).ask().deploy()
    insider.refused_at(insider.seq_of("step.started", changes=True), problem)


@pytest.mark.parametrize("image, ok", [(IMAGE, True), (f"mirror/diary@sha256:{SHA}", True), (f"diary@sha256:{OTHER_SHA}", False), ("diary", False)])  # fmt: skip
def test_another_artefact_than_was_signed_is_refused(insider: Insider, image: str, *, ok: bool) -> None:
    change(insider, "revision.deployed", {**REVISION, "image": image})
    if ok:
        insider.stands()
    else:
        insider.refused_at(insider.seq_of("revision.deployed"), "deploys another artefact than")


@pytest.mark.parametrize(
    "changes, ok",
    [({}, True), ({"sha256": OTHER_SHA}, False), ({"version": "0009"}, False)],
    ids=["as signed", "another text", "another version"],
)
def test_another_migration_than_was_signed_is_refused(insider: Insider, changes: dict[str, str], *, ok: bool) -> None:
    change(insider, "migration.applied", {**MIGRATION, **changes})
    if ok:
        insider.stands()
    else:
        insider.refused_at(insider.seq_of("migration.applied"), "applies a migration")


@pytest.mark.parametrize("deployer, ok", [(PERSON, True), ("quinn@example.org", False), ("local:7:quinn@desk", False)])
def test_who_deploys_approved_nothing(insider: Insider, deployer: str, *, ok: bool) -> None:
    insider.open(deployer=deployer).ask().deploy()
    if ok:
        insider.stands()
    else:
        insider.refused_at(
            insider.seq_of("step.started", changes=True), "quinn@example.org, who deploys it, approved it"
        )
