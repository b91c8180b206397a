"""Smoke in staging is evidence only from staging's own record: a real run's for a real one, a rehearsal's for a rehearsal."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.errors import RecordError
from pytest_deploy.gates.registry import Gatekeeper
from pytest_deploy.gates.staging_smoke import Evidence, SmokedRelease, evidence_of
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.release.candidate import ReleaseCandidate
from pytest_deploy.release.live import migrations_sha256
from pytest_deploy.release.request import digest
from pytest_deploy.workspace import Workspace
from tests.unit.record.sample_record import PERSON, HandClock, RunWriter, opened_data
from tests.unit.sample_environment import environment

COMMIT = "c" * 40
IMAGE = f"diary@sha256:{'a' * 64}"
MIGRATIONS = [{"version": "0001", "name": "first", "sha256": "b" * 64}]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def staging(tmp_path: Path, clock: HandClock) -> Environment:
    """The rehearsal of staging, its record born."""
    return born(environment(tmp_path, "staging", clock=clock))


def born(made: Environment) -> Environment:
    made.log.head()
    return made


def smoke(made: Environment, outcome: str = "passed", *, end: str = "deployed") -> str:
    """A deployment of IMAGE with its smoke phase; the run's id."""
    run = RunWriter(
        made.log, new_run_id(made.policy.environment, made.system_clock, rehearsal=made.workspace.rehearsal)
    ).open(commit=COMMIT)
    run.step("build")
    opened = {key: opened_data()[key] for key in ("environment", "version")}
    what = {"commit": COMMIT, "artefact": {"image": IMAGE}, "migrations": MIGRATIONS}
    asked = canonical({**opened, **what, "policy_sha256": hashlib.sha256(run.policy).hexdigest()})
    run.folder.create("request.json", asked)
    expires = {"request_sha256": digest(asked), "expires": stamp(made.system_clock.now()), "requested_by": PERSON}
    run.add("request.made", expires)
    run.step("smoke", outcome=outcome)
    return run.close(end) if end else run.run


def real(made: Environment) -> Workspace:
    """The same environment, not rehearsed, its record in a folder: no bucket is to be had here."""
    file = made.workspace.root / "deploy.yaml"
    cloud = "platform: {kind: google, runtime: container, google: {project: example-diary-staging, region: us-east4}}"
    bucket = "      store: gcs\n      bucket: example-diary-staging-record\n"
    file.write_text(
        file.read_text().replace(cloud, "platform: {kind: embedded}").replace(bucket, "      store: folder\n")
    )
    return Workspace(made.workspace.root, made.workspace.environment)


def test_what_was_smoked_is_evidence_of_the_commit_the_artefact_and_the_migrations(staging: Environment) -> None:
    run = smoke(staging)

    (found,) = evidence_of(staging.workspace)

    migrations = migrations_sha256([("0001", "b" * 64)])
    assert Evidence(run, found.at, SmokedRelease(COMMIT, IMAGE.partition("@")[2], migrations), passed=True) == found


def test_a_smoke_by_itself_is_evidence_of_what_served_and_of_nothing_before_the_first_release(
    staging: Environment,
) -> None:
    """The smoke pipeline asks for nothing: its record says what it met."""
    served = {"image": IMAGE, "commit": COMMIT, "version": "1.2.0", "migrations_sha256": "d" * 64}
    for target in (None, served):
        run = RunWriter(staging.log, new_run_id("staging", staging.system_clock, rehearsal=True), pipeline="smoke")
        run.open(target=target).step("smoke").close("passed")

    (found,) = evidence_of(staging.workspace)

    assert Evidence(run.run, found.at, SmokedRelease(COMMIT, IMAGE.partition("@")[2], "d" * 64), passed=True) == found


def test_a_smoke_that_failed_is_told_as_failed_and_an_open_run_tells_nothing(staging: Environment) -> None:
    smoke(staging, "failed", end="failed")
    assert [one.passed for one in evidence_of(staging.workspace)] == [False]

    smoke(staging, end="")
    assert len(evidence_of(staging.workspace)) == 1


def test_an_environment_without_a_record_has_smoked_nothing(tmp_path: Path) -> None:
    assert evidence_of(environment(tmp_path, "staging").workspace) == ()


def test_a_record_that_was_changed_is_no_evidence(staging: Environment) -> None:
    smoke(staging)
    event = sorted((staging.workspace.store / "log").iterdir())[-2]
    event.chmod(0o644)
    event.write_bytes(event.read_bytes().replace(b"deployed", b"deplored"))

    with pytest.raises(RecordError, match="staging does not verify"):
        evidence_of(staging.workspace)


# --- a rehearsal never counts for real


def test_a_rehearsal_is_no_evidence_for_a_real_run(staging: Environment) -> None:
    smoke(staging)

    assert evidence_of(real(staging)) == ()


def test_a_rehearsals_record_laid_in_the_real_ones_place_is_known_by_its_origin(staging: Environment) -> None:
    smoke(staging)
    context = real(staging)
    signed_by_a_file(staging)
    shutil.copytree(staging.workspace.store, context.store)
    shutil.copy(staging.workspace.key_file, real(staging).key_file)

    with pytest.raises(RecordError, match=r"is deploy\.example\.org/rehearsal/staging's"):
        evidence_of(real(staging))


def signed_by_a_file(made: Environment) -> None:
    """Let the real environment's record be signed by a key file, where Cloud KMS would."""
    file = made.workspace.root / "deploy.yaml"
    file.write_text(re.sub(r"      signer: kms\n      key: projects/example-diary-staging/.*\n", "", file.read_text()))


def test_a_copy_of_another_environments_key_vouches_for_nothing(staging: Environment) -> None:
    smoke(staging)
    shutil.copytree(staging.workspace.store, real(staging).store)
    shutil.copy(staging.workspace.store / "trust" / "log.vkey", real(staging).key_file.with_suffix(".vkey"))

    with pytest.raises(RecordError, match=r"is a key of deploy\.example\.org/rehearsal/staging, not of"):
        evidence_of(real(staging))


def test_a_record_made_up_with_another_key_is_no_evidence(staging: Environment, tmp_path: Path) -> None:
    smoke(staging)
    other = born(environment(tmp_path / "elsewhere", "staging", clock=HandClock()))
    smoke(other)
    shutil.rmtree(staging.workspace.store)
    shutil.copytree(other.workspace.store, staging.workspace.store)

    with pytest.raises(RecordError, match="it is no evidence"):
        evidence_of(staging.workspace)


def test_where_nobody_knows_the_records_key_it_cannot_be_told_whose_it_is(staging: Environment) -> None:
    smoke(staging)
    staging.workspace.key_file.unlink()
    with pytest.raises(RecordError, match="cannot be told"):
        evidence_of(staging.workspace)

    shutil.copy(staging.workspace.store / "trust" / "log.vkey", staging.workspace.key_file.with_suffix(".vkey"))
    assert len(evidence_of(staging.workspace)) == 1


@pytest.mark.parametrize(
    "changes, passed",
    [({}, True), ({"commit": "d" * 40}, False), ({"approved": "sha256:1"}, False), ({"migrations_sha256": "1"}, False)],
)
def test_the_gate_asks_for_the_very_same_release(staging: Environment, changes: dict[str, Any], passed: bool) -> None:  # noqa: FBT001 -- a table
    smoke(staging)
    asked = {
        "commit": COMMIT,
        "approved": IMAGE.partition("@")[2],
        "migrations_sha256": migrations_sha256([("0001", "b" * 64)]),
    }
    subject = ReleaseCandidate(pipeline="deploy", run="", built=None, request=None, **{**asked, **changes})

    verdict = Gatekeeper(_production(staging), subject).check("staging-smoke", staging.clock.now())

    assert passed == verdict.passed, verdict.reason


def test_a_record_that_cannot_be_trusted_blocks_the_gate_and_says_why(staging: Environment) -> None:
    smoke(staging)
    staging.workspace.key_file.unlink()
    subject = ReleaseCandidate("deploy", "", COMMIT, None, IMAGE.partition("@")[2], "", None)

    verdict = Gatekeeper(_production(staging), subject).check("staging-smoke", staging.clock.now())

    assert (verdict.passed, verdict.still_needed) == (False, "mend")
    assert "staging-smoke cannot be evaluated, so it blocks: whose record" in verdict.reason


def _production(staging: Environment) -> Environment:
    made = environment(staging.workspace.root, "production", clock=HandClock())
    made.log.head()
    return made
