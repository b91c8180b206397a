"""The records these tests are made on are records: both verifiers accept every signature, and the log goes on from there."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.history.history import History
from pytest_deploy.verify import signatures
from pytest_deploy.verify.verify import verify
from tests.required_programs import needs
from tests.scale.generated_record import BEGINS, EVERY, generate, open_generated
from tests.scale.history_queries import questions
from tests.unit.record.sample_record import HandClock, deployed

RUNS = 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("generated")
    generate(home, RUNS, sign_all=True)
    return home


def test_a_generated_record_verifies_in_every_step_and_signature(home: Path) -> None:
    needs("ssh-keygen")
    result = verify(home / "reports" / "production", signatures="all")

    assert result.ok, result.findings
    assert result.checks[5].detail == f"{result.size} of {result.size} signatures, the newest among them"
    assert (f"{RUNS} closed", f"{RUNS} sealed folders, 1 texts they were judged by") == (
        result.checks[7].detail,
        result.checks[8].detail,
    )
    assert result.checks[9].detail == "5 signatures, 12 requests"


def test_the_second_opinion_accepts_it_too(home: Path) -> None:
    for program in ("bash", "openssl", "ssh-keygen"):
        needs(program)
    command = ["bash", str(home / "reports/production/verify.sh"), "--signatures", "all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert done.stdout.splitlines()[-1].startswith("verified: "), done.stdout


def test_the_log_goes_on_where_the_generated_one_ends(home: Path) -> None:
    log = open_generated(home, HandClock(BEGINS + EVERY * RUNS + timedelta(hours=1)))
    run = deployed(log)

    assert verify(home / "reports" / "production").ok
    assert log.run(run)[-1].type == "lease.released"


def test_of_old_signatures_of_people_the_files_are_still_held_against_their_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`newest` spares ssh-keygen for all but the newest; a swapped old approval is found all the same."""
    needs("ssh-keygen")
    monkeypatch.setattr(signatures, "RECENT", 3)
    store = generate(tmp_path, RUNS)
    sound = verify(store)
    old, other = sorted(store.glob("runs/*-0005/approvals/[!o]*.json.sig"))

    assert sound.ok
    assert sound.checks[9].detail == "5 signatures (3 of them by ssh-keygen), 12 requests"
    old.write_bytes(other.read_bytes())
    found = [finding.place for finding in verify(store).findings if finding.step == 10]
    assert [old.relative_to(store).as_posix()] == found


def test_every_kind_of_question_has_its_runs(home: Path, tmp_path: Path) -> None:
    with History({"production": home / "reports" / "production"}, tmp_path) as history:
        found = {kind: history.runs(asked).total for kind, asked in questions(RUNS).items()}

    assert {"a commit", "a digest"} >= {kind for kind, total in found.items() if not total}
