"""What runs is what people signed, also where the log's key writes the events: commit, artefact and migrations of the request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.record.sample_record import (
    IMAGE,
    MOVED,
    PERSON,
    SHA,
    HandClock,
    RunWriter,
    phase_finished,
    step_finished,
    step_started,
)
from tests.unit.verify.insider import FILLED, OVERRIDDEN, PRODUCTION, Insider, approvals
from tests.unit.verify.third_verifier import all_three

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


IS_QUINN = ["Quinn@Home.example", "QUINN@example.org", "local:x:quinn@desk", "local::quinn@desk"]
IS_NOBODY = ["github:<nil>:x", "github:-:x", "github:None:x", "github:null:x", "local:1:-@desk", "quinn", "local:quinn"]


@pytest.mark.parametrize(
    "deployer, ok", [*((actor, False) for actor in IS_QUINN), *((actor, True) for actor in IS_NOBODY)]
)
def test_who_deploys_is_told_in_one_way(insider: Insider, deployer: str, *, ok: bool) -> None:
    """By any address of theirs, by user or number; where the roster has none of these, nobody is taken for them."""
    insider.open(deployer=deployer).ask().deploy()
    assert all_three(insider.store)[0] == ok


@pytest.mark.parametrize("missing", ["github", "local"])
def test_who_deploys_is_told_though_the_roster_says_less_of_them(tmp_path: Path, missing: str) -> None:
    quinn: dict[str, Any] = {"printed_name": "Quinn", "roles": ["QA Lead"], "emails": [], "github": None, "local": None}
    del quinn[missing]
    insider = Insider.begin(tmp_path, also={"quinn@example.org": quinn}).approve("tina", "quinn")
    insider.open(deployer="quinn@example.org").ask().deploy()
    assert not all_three(insider.store)[0]


@pytest.mark.parametrize("asked_by, ok", [(PERSON, True), ("quinn@example.org", False), ("local:7:quinn@desk", False)])
def test_who_asked_for_it_approved_nothing(tmp_path: Path, asked_by: str, *, ok: bool) -> None:
    """Somebody else may deploy what one person asked for; that person's approval is their own word all the same."""
    insider = Insider.begin(tmp_path, asked_by=asked_by).approve("tina", "quinn")
    insider.open().ask().deploy()
    if ok:
        insider.stands()
    else:
        insider.refused_at(
            insider.seq_of("step.started", changes=True), "quinn@example.org, who asked for it, approved it"
        )


def test_who_asked_for_it_overrides_nothing(tmp_path: Path) -> None:
    insider = Insider.begin(tmp_path, asked_by="local:7:quinn@desk")
    insider.approve("tina", "otto").override("tina", "quinn").open()
    insider.ask({**FILLED, "QA Lead": "otto@example.org"}, window={"inputs": {"override": OVERRIDDEN}}).deploy()
    insider.refused_at(
        insider.seq_of("step.started", changes=True), "quinn@example.org, who asked for it, overrode window"
    )


@pytest.mark.parametrize(
    "authors, ok",
    [(["adam@example.org"], True), (["adam@example.org", "quinn@example.org"], False), (["quinn@home.example"], False)],
    ids=["others", "by their address", "by another of theirs"],
)
def test_who_wrote_part_of_it_approved_nothing(tmp_path: Path, authors: list[str], *, ok: bool) -> None:
    """People sign who wrote it, in the request; whoever wrote it does not approve it."""
    insider = Insider.begin(tmp_path, authors=authors).approve("tina", "quinn")
    insider.open().ask().deploy()
    if ok:
        insider.stands()
    else:
        insider.refused_at(
            insider.seq_of("step.started", changes=True), "quinn@example.org, who wrote part of it, approved it"
        )


def test_deployed_without_a_change_rests_on_no_plan(tmp_path: Path) -> None:
    """Nobody signed; what a plan says lets nothing go, so nothing may rest on it."""
    insider = Insider.begin(tmp_path).open()
    insider.run.ask_gates("plan", approvals={"inputs": approvals(FILLED)})
    insider.run.step("deploy").close("deployed")
    insider.refused_at(insider.seq_of("run.decided"), "was not asked right before")


def test_a_run_is_held_against_the_request_that_it_made_itself(tmp_path: Path) -> None:
    insider = Insider.begin(tmp_path)
    insider.run = RunWriter(insider.run.log)
    insider.run.policy = PRODUCTION
    insider.run.open(commit="1" * 40).step("build").planned_request()
    insider.approve("tina", "quinn").ask().deploy()
    insider.refused_at(insider.seq_of("step.started", changes=True), "goes on with another commit than")


def test_a_request_that_ran_out_opens_no_run(insider: Insider) -> None:
    clock = insider.run.log.clock
    assert isinstance(clock, HandClock)
    clock.move(5 * 3600)
    insider.open().ask().run.close("failed")
    insider.refused_at(insider.seq_of("run.opened"), "opens on a request that ran out")


def test_a_rejection_after_the_run_was_opened_stands(insider: Insider) -> None:
    insider.open().reject("quinn").ask().run.close("failed")
    insider.refused_at(
        insider.seq_of("gate.passed", gate="approvals"), "was approved, and quinn@example.org rejected the request"
    )


def test_a_smoke_run_deploys_nothing(insider: Insider) -> None:
    insider.run = RunWriter(insider.run.log, pipeline="smoke")
    insider.run.policy = PRODUCTION
    insider.run.open().ask_gates("change")
    for kind, said in (
        ("phase.started", {"phase": "deploy"}),
        ("step.started", step_started(STEP, "deploy", changes=True)),
        ("revision.deployed", REVISION),
        ("step.finished", step_finished(STEP, "deploy")),
        ("phase.finished", phase_finished("deploy")),
    ):
        insider.run.add(kind, said)
    insider.run.close("passed")
    insider.refused_at(insider.seq_of("revision.deployed"), "changes what serves in a run of smoke")
