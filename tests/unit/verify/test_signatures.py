"""Step 10: what people signed is held against stock ssh-keygen, at the time the log gives it."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.record import programs
from pytest_deploy.record.meanings import APPROVES
from pytest_deploy.verify.verify import verify
from tests.unit.record.sample_record import HandClock
from tests.unit.verify.conftest import Signing


def test_a_signature_made_with_stock_tools_verifies(signing: Signing) -> None:
    signing.sign()
    signing.count()

    assert signing.problems() == []
    assert verify(signing.store).checks[9].detail == "1 signatures, 1 requests"


def test_a_signature_no_event_counts_is_noted_and_no_fault(signing: Signing) -> None:
    signing.sign(key="eve")

    assert signing.problems() == []
    assert f"runs/{signing.run.run}/approvals/qa-lead-01234567.json: no event counts it" in verify(signing.store).notes


def test_another_persons_signature_is_found(signing: Signing) -> None:
    signing.sign(key="eve")
    signing.count()

    assert "does not verify for ada@example.org" in signing.problems()[0]


def test_a_signature_for_another_purpose_is_found(signing: Signing) -> None:
    signing.sign(namespace="file@example.org")
    signing.count()

    assert "does not verify" in signing.problems()[0]


def test_validity_is_judged_at_the_logs_time_and_not_at_now(signing: Signing) -> None:
    """The key ends in 2026: what was logged before holds for ever, what is logged after never does."""
    clock = signing.log.clock
    assert isinstance(clock, HandClock)
    clock.move(timedelta(days=40).total_seconds())
    signing.sign()
    signing.count()

    assert "at the time of event" in signing.problems()[0]


@pytest.mark.parametrize("suffix", ["", ".sig"])
def test_a_file_altered_or_missing_after_it_was_counted_is_found(signing: Signing, suffix: str) -> None:
    signing.sign()
    signing.count()
    path = signing.run.folder.path / f"approvals/qa-lead-01234567.json{suffix}"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"a", b"b", 1))
    altered = signing.problems()
    path.unlink()

    assert "is not the file event 10 counts" in altered[0]
    assert "is missing, or no file" in signing.problems()[0]


@pytest.mark.parametrize(
    "says", [{"signer": "eve@example.org"}, {"request_sha256": "0" * 64}, {"run": "x"}, {"role": "Dev"}]
)
def test_a_signed_text_that_says_something_else_than_its_event_is_found(signing: Signing, says: dict[str, Any]) -> None:
    signing.sign(**says)
    signing.count()

    assert f"says another {next(iter(says))} than event 10" in signing.problems()[0]


def test_a_signed_text_that_leaves_out_what_it_is_bound_to_is_found(signing: Signing) -> None:
    del signing.said["meaning"]
    signing.sign()
    signing.said["meaning"] = APPROVES
    signing.count()

    assert "says another meaning" in signing.problems()[0]


@pytest.mark.parametrize("text", [b"{ }", b"not JSON", b"[]\n"])
def test_a_signed_text_that_is_not_canonical_is_found(signing: Signing, text: bytes) -> None:
    signing.sign()
    path = signing.run.folder.path / "approvals/qa-lead-01234567.json"
    path.write_bytes(text)
    signing.count()

    assert signing.problems() == ["is not canonical JSON"]


@pytest.mark.parametrize("file", ["../outside.json", "/etc/hostname"])
def test_a_file_outside_the_record_is_not_looked_at(signing: Signing, file: str) -> None:
    signing.sign()
    shutil.copy(signing.home / "ada.pub", signing.home / "reports" / "outside.json")
    signing.count(file=file)

    assert "lies outside the record, though event 10 counts it" in signing.problems()[0]


def test_a_signer_no_command_can_be_given_is_no_crash(signing: Signing) -> None:
    signing.said["signer"] = "ada\0@example.org"
    signing.sign()
    signing.count()

    assert "no address that a person signs under" in signing.problems()[0]


@pytest.mark.parametrize(
    "changed, problem",
    [
        ({"printed_name": "Grace"}, "says another printed_name than event 10"),
        ({"signed_at": "2026-11-22T11:00:00.000Z"}, "says another signed_at than event 10"),
        ({"comment": "I read it all"}, "says another comment than event 10"),
        ({"printed_name": "Ada", "signed_at": "2026-11-22T12:00:00.000Z", "comment": None}, ""),
    ],
    ids=["name", "time", "comment", "the same"],
)
def test_the_event_says_of_a_signature_what_was_signed(signing: Signing, changed: dict[str, Any], problem: str) -> None:
    signing.sign()
    signing.count(**changed)

    assert ([problem] if problem else []) == signing.problems()


@pytest.mark.parametrize(
    "says, problem",
    [
        ({"role": "Tech Lead"}, "says another name or role of ada@example.org than the roster in force at event 10"),
        ({"role": "QA"}, "says another name or role of ada@example.org than the roster in force at event 10"),
        (
            {"printed_name": "Grace"},
            "says another name or role of ada@example.org than the roster in force at event 10",
        ),
        ({}, ""),
    ],
    ids=["a role not held", "a part of one", "another name", "as enrolled"],
)
def test_a_signer_has_the_name_and_the_role_that_the_roster_gives(
    signing: Signing, says: dict[str, Any], problem: str
) -> None:
    signing.sign(**says)
    signing.count(**{key: value for key, value in says.items() if key == "role"})

    assert ([problem] if problem else []) == signing.problems()


def test_a_statement_that_json_cannot_hold_is_named(signing: Signing) -> None:
    path = signing.run.folder.create("approvals/qa-lead-01234567.json", b'{"a":NaN}\n')
    path.with_name(f"{path.name}.sig").write_bytes(b"")
    signing.count()

    assert signing.problems() == ["is not canonical JSON"]


@pytest.mark.parametrize("allowed", ["", 'a namespaces="x" ssh-ed25519 A\nb namespaces="y" ssh-ed25519 B\n'])
def test_a_store_without_one_namespace_cannot_be_checked_and_says_so(signing: Signing, allowed: str) -> None:
    signing.enroll(allowed)
    signing.sign()
    signing.count()

    assert "cannot be checked: allowed_signers names no namespace" in signing.problems()[0]


def test_a_missing_ssh_keygen_is_no_pass(signing: Signing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    signing.sign()
    signing.count()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", ())

    assert "ssh-keygen is not installed" in signing.problems()[0]
