"""The anchors of one environment: made once a run has closed, said where they fail, read back before the next."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.anchors import kinds
from pytest_deploy.approvals.roster import in_force
from pytest_deploy.errors import AnchorUnavailable, UsageError
from pytest_deploy.gates.anchors import judge as gate
from pytest_deploy.gates.registry import Gatekeeper
from pytest_deploy.gates.verdict import Verdict
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record.bucket import EMULATOR
from pytest_deploy.record.key import trust_set
from pytest_deploy.release.candidate import ReleaseCandidate
from pytest_deploy.reports.anchor_record import anchor_record
from pytest_deploy.verify.verify import verify
from pytest_deploy.workspace import Workspace
from tests import fake_github, timestamp_authority
from tests.required_programs import needs
from tests.unit.policy.sample_policy import BASE, written
from tests.unit.record.sample_record import RunWriter, deployed

ANCHORS = "anchors: {required: true, lines: outbox, copies: {folder: elsewhere}, timestamp: {url: URL, ca: ca.pem}}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> timestamp_authority.Authority:
    needs("openssl")
    return timestamp_authority.authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture
def url(made: timestamp_authority.Authority) -> Iterator[str]:
    with timestamp_authority.serving(made) as address:
        yield address


def environment(home: Path, anchors: str) -> Environment:
    written(home, BASE.replace("environments:", f"{anchors}environments:"))
    context = Workspace(home, "local")
    return Environment(context, policy_of(context))


@pytest.fixture
def local(tmp_path: Path, made: timestamp_authority.Authority, url: str) -> Environment:
    shutil.copy(made.certificate, tmp_path / "ca.pem")
    return environment(tmp_path, ANCHORS.replace("URL", url))


def said(local: Environment) -> list[str]:
    return [e.data["detail"] for e in local.log.history() if e.type == "alert.raised"]


def test_every_anchor_of_a_closed_run_is_recorded_and_verifies(local: Environment) -> None:
    run = deployed(local.log)
    assert anchor_record(local, run=run, say=pytest.fail)

    told = [event for event in local.log.history() if event.type == "anchor.made"]
    assert [event.data["kind"] for event in told] == ["copy", "rfc3161", "line"]
    assert {event.run for event in told} == {run}
    assert len({(event.data["size"], event.data["root"], event.data["file"]) for event in told}) == 1
    lines = (local.workspace.root / "outbox" / "local.lines").read_text().splitlines()
    found = verify(local.workspace.store, anchor=lines)
    assert found.ok, found.findings
    assert found.checks[11].detail == "1 replies"


def test_the_authoritys_certificate_comes_into_force_once(
    local: Environment, made: timestamp_authority.Authority
) -> None:
    for _ in range(2):
        assert anchor_record(local, run="-", say=pytest.fail)

    _, sha256 = in_force(local.log.store, local.log.history())
    assert trust_set(local.log.store, sha256)["tsa-ca.pem"] == made.certificate.read_bytes()
    assert len([e for e in local.log.history() if e.type == "key.enrolled"]) == 2


def test_what_an_earlier_authority_stamped_verifies_after_another_took_its_place(
    local: Environment, tmp_path: Path
) -> None:
    needs("bash")
    assert anchor_record(local, run="-", say=pytest.fail)
    other = timestamp_authority.authority(tmp_path / "other")
    with timestamp_authority.serving(other) as url:
        shutil.copy(other.certificate, tmp_path / "ca.pem")
        changed = environment(tmp_path, ANCHORS.replace("URL", url))
        for _ in range(2):
            assert anchor_record(changed, run="-", say=pytest.fail)

    found = verify(local.workspace.store)
    assert found.ok, found.findings
    assert found.checks[11].detail == "3 replies"
    assert len([e for e in changed.log.history() if e.type == "key.enrolled"]) == 3
    script = subprocess.run(
        ["bash", "verify.sh"], cwd=local.workspace.store, check=False, capture_output=True, text=True
    )
    assert script.returncode == 0, script.stdout


def test_an_anchor_that_fails_is_said_and_raised_and_the_others_are_made(
    local: Environment, made: timestamp_authority.Authority
) -> None:
    run = deployed(local.log)
    made.answers.append((503, "text/plain", b"busy"))
    heard: list[str] = []

    assert not anchor_record(local, run=run, say=heard.append)
    assert [e.data["kind"] for e in local.log.history() if e.type == "anchor.made"] == ["copy", "line"]
    assert "answered 503" in said(local)[0]
    assert heard[0].endswith("; then: `pytest-deploy anchor local`")


def test_where_no_anchor_can_be_made_that_is_said_and_raised(local: Environment) -> None:
    (local.workspace.root / "ca.pem").unlink()
    heard: list[str] = []

    assert not anchor_record(local, run="-", say=heard.append)
    assert "ca.pem cannot be read" in said(local)[0]
    assert len(heard) == 1


def test_a_record_that_cannot_be_written_any_more_is_said_and_hides_nothing(local: Environment) -> None:
    log = local.log
    shutil.rmtree(local.workspace.store)
    local.workspace.store.write_text("")
    heard: list[str] = []

    assert not anchor_record(local, run="-", say=heard.append)
    assert log is local.log
    assert [one.partition(":")[0] for one in heard] == ["no anchor was made", "nor could that be recorded"]


def test_where_policy_names_none_nothing_is_written(tmp_path: Path) -> None:
    local = environment(tmp_path, "")
    before = local.log.checkpoint()

    assert anchor_record(local, run="-", say=pytest.fail)
    assert before == local.log.checkpoint()


def test_the_next_run_goes_on_from_what_was_anchored_and_from_nothing_behind_it(tmp_path: Path) -> None:
    local = environment(tmp_path, "anchors: {required: true, copies: {folder: elsewhere}}\n")
    assert verdict(local).result == "not-applicable"
    deployed(local.log)
    assert "no anchor of it can be read back" in verdict(local).reason
    assert anchor_record(local, run="-", say=pytest.fail)
    assert verdict(local).passed

    kept = tmp_path / "kept"
    shutil.copytree(local.workspace.store, kept)
    deployed(local.log)
    assert "no anchor knows more than" in verdict(local).reason
    assert anchor_record(local, run="-", say=pytest.fail)
    size = len(local.log.history())

    shutil.rmtree(local.workspace.store)
    shutil.copytree(kept, local.workspace.store)  # as it was after the first: cut, and clean by itself
    assert verify(local.workspace.store).ok
    cut = environment(tmp_path, "anchors: {required: true, copies: {folder: elsewhere}}\n")
    assert "the record was cut" in verdict(cut).reason
    while len(cut.log.history()) < size:
        RunWriter(cut.log).open().step("build").close("failed")
    assert "the record was rewritten" in verdict(cut).reason


def verdict(local: Environment) -> Verdict:
    subject = ReleaseCandidate("deploy", "", "0" * 40, None, None, "", None)
    return Gatekeeper(local, subject).check("anchors")


def test_a_place_that_cannot_be_read_is_told_with_its_cause(tmp_path: Path) -> None:
    local = environment(tmp_path, "anchors: {required: true, copies: {folder: elsewhere}}\n")
    folder = tmp_path / "elsewhere" / "local" / "anchors"
    folder.mkdir(parents=True)
    (folder / "00000001.checkpoint").write_text("noise")

    (known,) = kinds.read_back(kinds.anchors_of(local.workspace, local.policy, local.log.store))
    assert "is no signed checkpoint" in known.problem
    assert not gate(local.policy.anchors, kinds.record_state(local.log, [known]), [known], again="").passed


# --- at GitHub

AT_GITHUB = "anchors: {required: true, github: {repository: example/diary, api: URL, timeout_s: 5}}\n"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_github.GitHub]:
    monkeypatch.setenv("GITHUB_TOKEN", fake_github.TOKEN)
    made = fake_github.GitHub()
    with made.serving():
        yield made


def test_the_next_run_goes_on_from_what_github_knows_and_from_nothing_behind_it(
    tmp_path: Path, hub: fake_github.GitHub
) -> None:
    anchors = AT_GITHUB.replace("URL", hub.url)
    local = environment(tmp_path, anchors)
    assert verdict(local).result == "not-applicable"
    deployed(local.log)
    assert "no anchor of it can be read back" in verdict(local).reason
    assert anchor_record(local, run="-", say=pytest.fail)
    assert verdict(local).passed
    assert f"task=deploy-record ({len(local.log.history()) - 1} events)" in verdict(local).reason
    assert verify(local.workspace.store, anchor=hub.lines()).ok

    kept = tmp_path / "kept"
    shutil.copytree(local.workspace.store, kept)
    deployed(local.log)
    assert anchor_record(local, run="-", say=pytest.fail)
    size = len(local.log.history())
    shutil.rmtree(local.workspace.store)
    shutil.copytree(kept, local.workspace.store)
    cut = environment(tmp_path, anchors)
    assert "the record was cut" in verdict(cut).reason
    while len(cut.log.history()) < size:
        RunWriter(cut.log).open().step("build").close("failed")
    assert "the record was rewritten" in verdict(cut).reason


def test_what_github_was_told_is_recorded_and_told_once(tmp_path: Path, hub: fake_github.GitHub) -> None:
    local = environment(tmp_path, AT_GITHUB.replace("URL", hub.url))
    run = deployed(local.log)
    head = local.log.checkpoint()
    assert anchor_record(local, run=run, say=pytest.fail)

    (made,) = [event for event in local.log.history() if event.type == "anchor.made"]
    assert (made.run, made.data["kind"], made.data["receipt"]) == (run, "github", hub.statuses[4001][0]["url"])
    assert [head] == hub.lines()


FAILING = {
    "limit": fake_github.Answer(429, {"message": "secondary rate limit"}, {"Retry-After": "3600"}),
    "may not": fake_github.Answer(403, {"message": "Resource not accessible by integration"}),
    "not there": fake_github.Answer(404, {"message": "Not Found"}),
}


@pytest.mark.parametrize("answer", FAILING.values(), ids=FAILING)
def test_github_that_refuses_is_said_and_raised_and_the_others_are_made(
    tmp_path: Path, hub: fake_github.GitHub, answer: fake_github.Answer
) -> None:
    local = environment(tmp_path, AT_GITHUB.replace("URL", hub.url).replace("github:", "lines: outbox, github:"))
    before = deployed(local.log)
    decided = [event.data for event in local.log.history() if event.type == "run.decided"]
    hub.answers.append(answer)
    heard: list[str] = []

    assert not anchor_record(local, run=before, say=heard.append)
    assert [e.data["kind"] for e in local.log.history() if e.type == "anchor.made"] == ["line"]
    assert [f"the anchor at {hub.url}/repos/example/diary" in one for one in said(local)] == [True]
    assert heard[0].endswith("; then: `pytest-deploy anchor local`")
    assert fake_github.TOKEN not in heard[0] + said(local)[0]
    assert decided == [event.data for event in local.log.history() if event.type == "run.decided"]


def test_without_a_token_nothing_is_asked_and_the_gate_says_which_is_missing(
    tmp_path: Path, hub: fake_github.GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = environment(tmp_path, AT_GITHUB.replace("URL", hub.url))
    assert local.log.checkpoint()
    monkeypatch.delenv("GITHUB_TOKEN")

    assert "GITHUB_TOKEN is not set" in verdict(local).reason
    assert not verdict(local).passed
    assert hub.asked == []


def test_copies_in_a_bucket_stay_on_this_machine_where_the_platform_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = environment(tmp_path, "anchors: {copies: {store: gcs, bucket: example-anchors, prefix: a}}\n")
    monkeypatch.delenv(EMULATOR, raising=False)
    with pytest.raises(UsageError, match=r"anchors.copies.store is gcs, and local stays on this machine"):
        kinds.anchors_of(local.workspace, local.policy, local.log.store)

    monkeypatch.setenv(EMULATOR, "http://127.0.0.1:9")
    (copies,) = kinds.anchors_of(local.workspace, local.policy, local.log.store)
    assert copies.place == "gs://example-anchors/a/local"


def test_a_missing_certificate_is_named(local: Environment) -> None:
    (local.workspace.root / "ca.pem").unlink()

    with pytest.raises(AnchorUnavailable, match=r"anchors.timestamp.ca: ca.pem cannot be read"):
        kinds.anchors_of(local.workspace, local.policy, local.log.store)
