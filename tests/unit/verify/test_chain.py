"""What the log's own key says of keys is held to the rules too, by both verifiers: it is what whoever deploys can sign with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_deploy.record.events import parse as content_of
from pytest_deploy.record.key import FileSigner, LogKey, first_set, write_plain_copies, write_set
from pytest_deploy.record.log_entry import build, name, parse
from pytest_deploy.record.store import FolderStore
from pytest_deploy.verify.verify import verify
from tests.unit.record.sample_record import ACTOR, ORIGIN, HandClock, open_log
from tests.unit.verify.altered_record import forge
from tests.unit.verify.conftest import Record
from tests.unit.verify.second_verifier import both

OTHER = FileSigner.generate()[1]
"""A key that is not the log's."""


def said(home: Path, event_type: str, files: Mapping[str, bytes], **changes: str) -> tuple[bool, str]:
    """The log's own key puts a set in force; the bad place on which both verifiers agree, and why in ours."""
    log = open_log(home, HandClock())
    folder, sha256 = write_set(log.store, files)
    data = {"set": folder, "set_sha256": sha256, "person": None, "fingerprint": None, "reason": "x", **changes}
    log.append(content_of(event_type, data), run="-", actor=ACTOR)
    write_plain_copies(home / "reports" / "local", files)  # which would be found by themselves
    ok, place = both(home / "reports" / "local")
    assert place == ("" if ok else "log/00000001.event")
    return ok, "" if ok else str(verify(home / "reports" / "local").findings[0])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """The set in force."""
    return first_set(open_log(tmp_path, HandClock()).key)


def test_the_same_key_with_another_roster_is_in_order(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert said(tmp_path, "key.enrolled", files | {"roles.json": b'{"a":{}}\n'}) == (True, "")


@pytest.mark.parametrize("event_type", ["key.enrolled", "key.revoked"])
def test_a_key_changes_by_a_rotation_and_by_nothing_else(
    tmp_path: Path, files: dict[str, bytes], event_type: str
) -> None:
    ok, why = said(tmp_path, event_type, files | first_set(LogKey(ORIGIN, OTHER.public)))

    assert not ok
    assert "key.rotated, and nothing else, changes the log's key" in why


@pytest.mark.parametrize("event_type", ["key.enrolled", "key.revoked"])
def test_a_stranger_does_not_go_on_with_the_log_by_enrolling_the_key_that_signs(
    tmp_path: Path, files: dict[str, bytes], event_type: str
) -> None:
    store = tmp_path / "reports" / "local"
    stranger = FileSigner.open_or_create(tmp_path / "stranger.pem")
    strange = files | first_set(LogKey(ORIGIN, stranger.public))
    folder, sha256 = write_set(FolderStore(store), strange)
    data = {"set": folder, "set_sha256": sha256, "person": None, "fingerprint": None, "reason": "x"}
    forge(Record(store, "", "", "", "", 1, "", ""), 1, stranger, type=event_type, data=data)
    write_plain_copies(store, strange)

    assert both(store) == (False, "log/00000001.event")


def test_a_rotation_changes_the_key(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert said(tmp_path / "a", "key.rotated", files | first_set(LogKey(ORIGIN, OTHER.public))) == (True, "")

    ok, why = said(tmp_path, "key.rotated", files | {"roles.json": b'{"a":{}}\n'})
    assert not ok
    assert "key.rotated, and nothing else, changes the log's key" in why


def test_a_log_keeps_its_origin(tmp_path: Path, files: dict[str, bytes]) -> None:
    ok, why = said(tmp_path, "key.rotated", files | first_set(LogKey("elsewhere.example.org/local", OTHER.public)))

    assert not ok
    assert f"the origin changes from {ORIGIN} to elsewhere.example.org/local" in why


def test_before_the_first_set_no_key_is_in_force(tmp_path: Path, files: dict[str, bytes]) -> None:
    """A log that begins with anything else, signed with its own key."""
    store = tmp_path / "reports" / "local"
    first = store / name(0)
    event = dataclasses.replace(parse(first.read_bytes()).event, type="clock.skewed", data={"skew_s": 0, "source": "x"})
    signer = FileSigner.open(tmp_path / "keys" / "local.pem")
    first.write_bytes(build(event, (), ORIGIN, signer)[1])

    assert both(store) == (False, name(0))


def test_a_set_lies_under_its_own_hash(tmp_path: Path, files: dict[str, bytes]) -> None:
    ok, why = said(tmp_path, "key.enrolled", files | {"roles.json": b"{}"}, set="trust/0123456789abcdef")

    assert not ok
    assert "names the set 'trust/0123456789abcdef', whose hash makes it trust/" in why


@pytest.mark.parametrize(
    "changed, why",
    [
        ({"log.vkey": b"no key\n"}, "holds no log.vkey"),
        ({"log.vkey": b"\xff\n"}, "holds no log.vkey"),
        ({"log.vkey": None}, "holds no log.vkey"),
        ({"log.pem": OTHER.public}, "has a log.pem that is not the key of log.vkey"),
        ({"log.pem": LogKey(ORIGIN, OTHER.public).pem.encode()}, "has a log.pem that is not the key of log.vkey"),
        ({"log.pem": None}, "has a log.pem that is not the key of log.vkey"),
    ],
)
def test_a_set_holds_the_key_in_both_its_forms(
    tmp_path: Path, files: dict[str, bytes], changed: dict[str, bytes | None], why: str
) -> None:
    held = {name: content for name, content in (files | changed).items() if content is not None}

    ok, told = said(tmp_path, "key.enrolled", held)
    assert not ok
    assert why in told
