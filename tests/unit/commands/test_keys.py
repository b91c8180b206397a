"""`deploy.py keys`: who may sign is begun, enrolled, revoked and shown, and what a role still lacks is said each time."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.commands.keys import enroll, init, list_keys, revoke, rotate
from pytest_deploy.errors import RecordTampered, Refused, UsageError
from tests.unit.commands.typed import typed
from tests.unit.sample_environment import REPOSITORY

TINA: dict[str, Any] = {
    "person": "Tina@Example.org", "name": "Tina Tanaka", "role": ["Tech Lead"], "github": 11, "git": ["Tina@Home.example"],
}  # fmt: skip
QUINN: dict[str, Any] = {"person": "quinn@example.org", "name": "Quinn Quist", "role": ["QA Lead"], "github": 12}
NEEDED = "needed    nobody holds the role {} with a valid key"


Keys = Callable[..., list[str]]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """A command of `keys` for a rehearsal of production; what it prints."""
    shutil.copy(REPOSITORY / "deploy.yaml", tmp_path)
    return lambda command, **options: typed(tmp_path, command, "production", rehearse=True, **options)


@pytest.fixture
def tinas(tmp_path: Path) -> Path:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "tina")]
    subprocess.run(words, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    return tmp_path / "tina.pub"


def test_a_record_is_begun_with_nobody_who_may_sign(keys: Keys, tmp_path: Path) -> None:
    printed = keys(init)

    assert printed[0] == "record    reports/rehearsal/production, deploy.example.org/rehearsal/production"
    assert [NEEDED.format("Tech Lead"), NEEDED.format("QA Lead")] == printed[-2:]
    assert (tmp_path / ".deploy/keys/rehearsal-production.pem").stat().st_mode & 0o777 == 0o600


def test_a_new_record_begins_in_the_place_of_a_removed_one_only_with_a_reason(keys: Keys, tmp_path: Path) -> None:
    keys(init)
    keys(init)
    shutil.rmtree(tmp_path / "reports")
    for command in (init, list_keys):
        with pytest.raises(RecordTampered) as told:
            keys(command)
        assert "`pytest-deploy keys init production --rehearse --new-record --reason '…'`" in str(told.value)
    for options, fault in (
        ({"new_record": True}, "say --reason"),
        ({"new_record": True, "reason": "…"}, "say --reason"),
        ({"reason": "OPS-7"}, "give it with --new-record"),
    ):
        with pytest.raises(UsageError, match=fault):
            keys(init, **options)
    assert not (tmp_path / "reports" / "rehearsal").exists()

    keys(init, new_record=True, reason="OPS-7: the disk was lost")
    first = (tmp_path / "reports/rehearsal/production/log/00000000.event").read_bytes()
    assert b'"reason":"begun anew: OPS-7: the disk was lost"' in first
    with pytest.raises(Refused, match="holds a record: it goes on"):
        keys(init, new_record=True, reason="once more")


def test_who_is_enrolled_may_sign_until_they_are_revoked(keys: Keys, tinas: Path) -> None:
    printed = keys(enroll, **TINA, public_key=tinas, days=30, reason="OPS-1")
    known = "Tina Tanaka <tina@example.org>: Tech Lead; GitHub 11, git tina@home.example"
    assert [f"enrolled  {known}", NEEDED.format("QA Lead")] == printed
    assert f"person    {known}" in keys(list_keys)

    time.sleep(1)  # a key is good for whole seconds, one at the least
    printed = keys(revoke, person="tina@example.org", reason="left")
    assert [NEEDED.format("Tech Lead"), NEEDED.format("QA Lead")] == printed[1:]
    with pytest.raises(Refused, match="has no valid key here"):
        keys(revoke, person="tina@example.org", reason="left")


def test_a_deputys_key_is_listed_with_its_days(keys: Keys, tinas: Path) -> None:
    first = datetime.now(UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=30)
    with pytest.raises(UsageError, match="--days and --until both say"):
        keys(enroll, **TINA, public_key=tinas, since=first, until=first, days=1, reason="OPS-1")
    keys(enroll, **TINA, public_key=tinas, since=first, until=first, reason="OPS-1")

    listed = keys(list_keys)
    assert any(
        f"{first:%Y-%m-%d} to {first + timedelta(days=1):%Y-%m-%d} 00:00 UTC, not valid now" in line for line in listed
    )
    assert NEEDED.format("Tech Lead") in listed


@pytest.mark.parametrize("day", ["since", "until"])
def test_a_deputy_stands_in_for_one_role_and_who_is_no_deputy_may_hold_two(keys: Keys, tinas: Path, day: str) -> None:
    two: dict[str, Any] = {**TINA, "role": ["Tech Lead", "QA Lead"], "public_key": tinas, "reason": "OPS-50"}
    later = datetime.now(UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=30)

    with pytest.raises(UsageError, match="a deputy, whose key has its days, stands in for one role: say one --role"):
        keys(enroll, **two, **{day: later})
    assert not any("tina" in line for line in keys(list_keys))

    keys(enroll, **two)
    assert any("Tina Tanaka <tina@example.org>: Tech Lead, QA Lead" in line for line in keys(list_keys))


def test_a_deputy_is_given_no_second_role_later(keys: Keys, tinas: Path) -> None:
    two: dict[str, Any] = {**TINA, "role": ["Tech Lead", "QA Lead"], "public_key": tinas, "reason": "OPS-51"}
    last = datetime.now(UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=30)
    keys(enroll, **TINA, public_key=tinas, until=last, reason="OPS-50")

    with pytest.raises(Refused, match="for the days of a deputy, who stands in for one role"):
        keys(enroll, **two)
    keys(enroll, **{**two, "role": ["QA Lead"]})
    assert any("Tina Tanaka <tina@example.org>: QA Lead" in line for line in keys(list_keys))


def test_the_key_of_one_is_nobody_elses(keys: Keys, tinas: Path) -> None:
    keys(enroll, **TINA, public_key=tinas, days=30, reason="OPS-1")

    with pytest.raises(Refused, match=r"is listed under quinn@example\.org and tina@example\.org"):
        keys(enroll, **QUINN, public_key=tinas, days=30, reason="OPS-2")
    assert not any("quinn" in line for line in keys(list_keys))


def test_nobody_is_enrolled_or_revoked_without_a_key_and_a_reason(keys: Keys, tinas: Path) -> None:
    for public, reason, fault in (
        (tinas.with_name("none.pub"), "OPS-1", "there is no such file; right is the .pub"),
        (tinas, " ", "say --reason"),
    ):
        with pytest.raises(UsageError, match=fault):
            keys(enroll, **TINA, public_key=public, days=30, reason=reason)
    with pytest.raises(UsageError, match="say --person EMAIL or fingerprint, and --reason"):
        keys(revoke, person="tina@example.org", reason="")


@pytest.mark.parametrize(
    "email, name, role, fault",
    [
        ("tina", "Tina", "Tech Lead", "say --person EMAIL"),
        ("tina@example.org", " ", "Tech Lead", "say --person EMAIL"),
        ("zo\u00eb@example.org", "Zo\u00eb", "Tech Lead", r"'zo\\xeb@example.org' is no address to sign under"),
        ("tin\u0430@example.org", "Tina", "Tech Lead", r"'tin\\u0430@example.org' is no address to sign under"),
        ("tina@example.org", "Tina\nsigned    by Quinn", "Tech Lead", "cannot be shown"),
        ("tina@example.org", "Tina", "Tech\u202eLead", "cannot be shown"),
        ("tina@example.org", "T" * 201, "Tech Lead", "longer than 200 characters"),
    ],
)
def test_who_is_not_described_is_not_enrolled(keys: Keys, email: str, name: str, role: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        keys(enroll, person=email, name=name, role=[role], public_key=Path("tina.pub"), reason="OPS-1")


def test_looking_at_the_keys_lays_the_newest_plain_copies(keys: Keys, tinas: Path, tmp_path: Path) -> None:
    keys(init)
    copy = tmp_path / "reports/rehearsal/production/trust/allowed_signers"
    before = copy.read_bytes()
    keys(enroll, **TINA, public_key=tinas, days=30, reason="OPS-1")
    newest = copy.read_bytes()
    copy.write_bytes(before)
    keys(list_keys)

    assert newest == copy.read_bytes() != before


def test_a_reason_that_cannot_be_shown_or_a_key_that_is_no_text_is_refused(
    keys: Keys, tinas: Path, tmp_path: Path
) -> None:
    binary = tmp_path / "binary.pub"
    binary.write_bytes(b"\x7fELF\xd0\xff")
    with pytest.raises(UsageError, match="is no SSH public key"):
        keys(enroll, **TINA, public_key=binary, days=30, reason="OPS-1")
    changes: list[tuple[Any, dict[str, Any]]] = [
        (enroll, {**TINA, "public_key": tinas, "reason": "OPS\x1b[2J"}),
        (revoke, {"person": "tina@example.org", "reason": "left\nnobody"}),
        (rotate, {"reason": "OPS\u202e"}),
    ]
    for command, options in changes:
        with pytest.raises(UsageError, match="--reason holds characters that cannot be shown"):
            keys(command, **options)
