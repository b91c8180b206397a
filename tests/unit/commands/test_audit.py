"""`deploy.py audit`: what a scheduled job is told of every record, permitted and refused side by side."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.roster import Person
from pytest_deploy.commands.audit import Audit, anchor
from pytest_deploy.errors import ConfigurationError, UsageError
from pytest_deploy.gates.retention import read_holding
from pytest_deploy.gates.verdict import Unavailable
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record import log_entry
from pytest_deploy.record.bucket import Bucket, MirroredStore
from pytest_deploy.reports.anchor_record import anchor_record
from pytest_deploy.workspace import Workspace
from tests import fake_github, timestamp_authority
from tests.fake_gcs import asking
from tests.locked_bucket import SEVEN_YEARS_S, LockedBucket, locked_bucket
from tests.required_programs import needs
from tests.unit.policy.sample_policy import BASE, written
from tests.unit.record.sample_record import ACTOR, RunWriter, deployed

ANCHORS = "anchors: {required: true, lines: outbox, copies: {folder: elsewhere}}\n"
BUCKET = "audited-record"


def environment(home: Path, more: str = ANCHORS) -> Environment:
    written(home, BASE.replace("environments:", f"{more}environments:"))
    context = Workspace(home, "local")
    return Environment(context, policy_of(context))


@pytest.fixture
def local(tmp_path: Path) -> Environment:
    """A deployment, anchored."""
    made = environment(tmp_path)
    run = deployed(made.log)
    assert anchor_record(made, run=run, say=pytest.fail)
    return made


def bad(home: Path, **ahead: float) -> list[str]:
    """The lines that are not well, as far ahead of now as is said."""
    now = datetime.now(UTC) + timedelta(**ahead)
    return [line.text for line in Audit(home, now=now).all() if not line.ok]


def test_a_record_that_is_well_is_told_so_line_by_line(local: Environment, tmp_path: Path) -> None:
    findings = list(Audit(tmp_path).all("local"))

    assert [line for line in findings if not line.ok] == []
    printed = "\n".join(map(str, findings))
    for part in (
        "ok   local: anchors at elsewhere/local: 1 read back", "anchors at outbox/local.lines: 1 read back",
        "verified, all twelve steps", "anchored up to event", "retention: not enforceable on a disk: reports/local",
        "no run was left open", "no key ends within 30 days",
    ):  # fmt: skip
        assert part in printed


def test_what_github_alone_knows_of_a_record_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", fake_github.TOKEN)
    hub = fake_github.GitHub()
    with hub.serving() as url:
        made = environment(tmp_path, f"anchors: {{github: {{repository: {fake_github.REPOSITORY}, api: '{url}'}}}}\n")
        deployed(made.log)
        monkeypatch.chdir(tmp_path)
        anchor("local")
        assert bad(tmp_path) == []

        shutil.rmtree(made.workspace.store)
        assert "holds no record, and anchors know of" in bad(tmp_path)[0]
        hub.token = "another"
        assert f"anchors at {url}/repos/{fake_github.REPOSITORY}/deployments" in bad(tmp_path)[0]


def test_an_environment_without_a_record_is_well_unless_something_knows_of_one(
    local: Environment, tmp_path: Path
) -> None:
    shutil.rmtree(local.workspace.store)
    assert "holds no record, and anchors know of" in bad(tmp_path)[0]

    shutil.rmtree(tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "outbox")
    assert "holds no record, and one was begun here (.deploy/keys/local.begun)" in bad(tmp_path)[0]

    shutil.rmtree(tmp_path / ".deploy")
    assert bad(tmp_path) == []


def test_a_cut_record_is_found_by_its_anchors(local: Environment, tmp_path: Path) -> None:
    size = len(local.log.history())
    for seq in range(size - 9, size):
        (local.workspace.store / log_entry.name(seq)).unlink()

    (finding,) = (one for one in bad(tmp_path) if "step 11" in one)
    assert "is missing: the log was truncated" in finding
    assert "keep everything as it is" in finding


def test_a_changed_file_is_found(local: Environment, tmp_path: Path) -> None:
    page = next((local.workspace.store / "runs").glob("*/report.html"))
    page.write_text("<p>all well</p>")

    assert "step 9" in bad(tmp_path)[0]


def test_a_closed_run_that_no_anchor_covers_is_told(local: Environment, tmp_path: Path) -> None:
    deployed(local.log)

    (finding,) = bad(tmp_path)
    assert "1 closed runs among them; `pytest-deploy anchor local`" in finding


def test_where_no_anchor_is_asked_for_none_is_missed(tmp_path: Path) -> None:
    deployed(environment(tmp_path, "").log)

    assert bad(tmp_path) == []
    assert "no anchor is asked for" in "\n".join(line.text for line in Audit(tmp_path).all())


def test_an_anchor_that_cannot_be_read_is_told(local: Environment, tmp_path: Path) -> None:
    (tmp_path / "outbox" / "local.lines").write_text("noise\n")

    assert "anchors at outbox/local.lines cannot be read" in bad(tmp_path)[0]


def test_a_run_is_left_open_once_its_lease_has_ended(local: Environment, tmp_path: Path) -> None:
    run = RunWriter(local.log).open().run
    plan = RunWriter(local.log, pipeline="plan").open().run
    assert bad(tmp_path) == []
    assert "2 in progress" in "\n".join(line.text for line in Audit(tmp_path).all())

    assert [f"run {run} is open since"] == [one[: 13 + len(run) + 5] for one in bad(tmp_path, minutes=5)]
    assert [run, plan] == [one.split()[1] for one in bad(tmp_path, minutes=11)]
    assert "pytest-deploy recover local" in bad(tmp_path, minutes=5)[0]


def test_a_key_that_ends_soon_is_told_unless_its_person_has_another(local: Environment, tmp_path: Path) -> None:
    needs("ssh-keygen")
    who = Person("tina@example.org", "Tina Lead", ("Tech Lead",), None, None, ("tina@example.org",))
    for number in (0, 1):
        if number:
            assert "the key of tina@example.org ends" in bad(tmp_path, days=340)[0]
        key = tmp_path / f"key{number}"
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
        subprocess.run(words, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
        enrollment.enroll(
            local.log, local.workspace.store, [who], {who.email: key.with_suffix(".pub").read_text()},
            namespace="deploy@example.org",
            now=datetime.now(UTC) + timedelta(days=100 * number), actor=ACTOR, reason="x", valid_days=365,
        )  # fmt: skip

    assert bad(tmp_path, days=340) == []


def test_an_authoritys_certificate_that_ends_soon_is_told(tmp_path: Path) -> None:
    needs("openssl")
    made = timestamp_authority.authority(tmp_path, days=60)
    with timestamp_authority.serving(made) as url:
        local = environment(tmp_path, f"anchors: {{timestamp: {{url: '{url}', ca: tsa.pem}}}}\n")
        assert anchor_record(local, run="-", say=pytest.fail)

    assert bad(tmp_path) == []
    assert "the timestamp authority's certificate ends" in bad(tmp_path, days=40)[0]


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[LockedBucket]:
    with locked_bucket(BUCKET) as (standing, url), asking(url):
        yield standing


def test_a_bucket_is_audited_as_a_folder_is_and_its_keeping_is_read_back(bucket: LockedBucket, tmp_path: Path) -> None:
    record = f"record: {{store: gcs, bucket: {BUCKET}}}\nretention: {{locked: true}}\n{ANCHORS}"
    local = environment(tmp_path, record)
    run = deployed(local.log)
    assert anchor_record(local, run=run, say=pytest.fail)
    assert bad(tmp_path) == []

    bucket.period_s = 25
    assert "it keeps an object for 25 s" in bad(tmp_path)[0]
    bucket.period_s = SEVEN_YEARS_S

    page = next((local.workspace.store / "runs").glob("*/report.html"))
    page.write_text("<p>all well</p>")
    assert any("report.html is not as in gs://audited-record/local" in one for one in bad(tmp_path))

    shutil.rmtree(local.workspace.store)
    assert bad(tmp_path) == []  # copied anew


def test_keeping_that_cannot_be_read_back_has_its_own_cause(bucket: LockedBucket, tmp_path: Path) -> None:
    store = MirroredStore(Bucket(BUCKET, "local", call_s=1, all_s=1), tmp_path / "reports" / "local")
    bucket.failing = [403]
    place, locked = read_holding(store, tmp_path)

    assert place == "gs://audited-record/local"
    assert isinstance(locked, Unavailable)
    assert "cannot be read: this identity may not" in locked.problem


def test_the_command_ends_with_one_where_a_line_is_not_well(local: Environment, tmp_path: Path) -> None:
    def audit(*words: str) -> subprocess.CompletedProcess[str]:
        program = "from pytest_deploy.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", program, "audit", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    well = audit()
    assert (well.returncode, "BAD" in well.stdout) == (0, False), well.stdout + well.stderr
    deployed(local.log)
    ran = audit("local")
    assert (ran.returncode, "BAD  local:" in ran.stdout) == (1, True)


def test_anchors_are_made_later_by_hand(local: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed(local.log)
    assert bad(tmp_path) != []
    monkeypatch.chdir(tmp_path)

    anchor("local")

    assert bad(tmp_path) == []
    shutil.rmtree(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("")  # a disk that takes nothing
    with pytest.raises(typer.Exit):
        anchor("local")


def test_there_must_be_something_to_anchor_and_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment(tmp_path)
    with pytest.raises(UsageError, match="no record yet"):
        anchor("local")

    environment(tmp_path, "")
    with pytest.raises(UsageError, match="names no anchors"):
        anchor("local")


def test_an_environment_that_is_not_there_is_named(local: Environment, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no environment"):
        list(Audit(tmp_path).all("prod"))
