"""Steps 11 and 12: what was said of the log outside it, and when."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import programs
from pytest_deploy.record.events import parse as content_of
from pytest_deploy.record.key import FileSigner
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.verify.verify import verify
from tests.unit.record.sample_record import ACTOR, ORIGIN, HandClock, open_log
from tests.unit.verify.conftest import Record, copy, signed


def problems(store: Path, step: int, anchor: str | None = None) -> list[str]:
    result = verify(store, anchor=anchor)
    assert {finding.step for finding in result.findings} <= {step}
    assert result.ok == (not result.findings)
    return [str(finding) for finding in result.findings]


def test_an_anchor_of_any_earlier_size_holds(record: Record) -> None:
    assert problems(record.store, 11, record.early_anchor) == []
    assert verify(record.store, anchor=record.early_anchor).checks[10].detail == "the one given from outside"


def test_of_several_anchors_each_is_held_against_the_log(record: Record) -> None:
    longer = record.anchor.replace(f" {record.size} ", f" {record.size + 3} ")

    assert verify(record.store, anchor=[record.early_anchor, record.anchor]).checks[10].detail == "2 given from outside"
    assert len(verify(record.store, anchor=[record.early_anchor, longer]).findings) == 1


def test_an_anchor_of_a_longer_log_tells_of_truncation_by_the_first_missing_event(record: Record) -> None:
    longer = record.anchor.replace(f" {record.size} ", f" {record.size + 3} ")

    assert problems(record.store, 11, longer) == [
        (
            f"{entries.name(record.size)}: is missing: the log was truncated; "
            f"--anchor knows {record.size + 3} events, {record.size} are here"
        )
    ]


def test_an_anchor_with_another_root_tells_of_a_rewrite(record: Record) -> None:
    size = record.early_anchor.split(" ")[2]
    other = f"tlog {ORIGIN} {size} {record.anchor.split(' ')[3]}"

    assert problems(record.store, 11, other) == [f"--anchor: saw another root at size {size}: the log was rewritten"]


def test_an_anchor_of_another_log_and_a_text_that_is_none_are_refused(record: Record) -> None:
    elsewhere = record.anchor.replace("/local ", "/production ")

    assert "is of the log deploy.example.org/production" in problems(record.store, 11, elsewhere)[0]
    assert "is no anchor" in problems(record.store, 11, "tlog")[0]


def test_a_copied_checkpoint_holds_and_is_counted(record: Record) -> None:
    copy(record.store, 5)

    assert problems(record.store, 11) == []
    assert verify(record.store).checks[10].detail.endswith("1 copied")


def test_a_copied_checkpoint_that_was_altered_is_found(record: Record) -> None:
    path = copy(record.store, 5)
    text = path.read_text()
    path.write_text(text.replace("\n5\n", "\n6\n"))
    assert "holds the checkpoint of size 6" in problems(record.store, 11)[0]
    path.write_text(text + "\n")
    assert "is no signed checkpoint" in problems(record.store, 11)[0]
    path.unlink()
    copy(record.store, 6).write_text(text.replace("\n5\n", "\n6\n"))
    assert "saw another root at size 6" in problems(record.store, 11)[0]


def test_a_copied_checkpoint_another_key_signed_is_found(record: Record, tmp_path: Path) -> None:
    checkpoint = signed(record.store, 5)
    stranger = FileSigner.open_or_create(tmp_path / "stranger.pem")
    forged = SignedCheckpoint(
        checkpoint.checkpoint, checkpoint.key_id, stranger.sign(checkpoint.checkpoint.text.encode())
    )
    copy(record.store, 5).write_text(forged.text)

    assert "is not signed by the log's key" in problems(record.store, 11)[0]


def test_a_recorded_anchor_is_held_against_the_log(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    _, _, size, root = log.checkpoint().split(" ")
    log.append(content_of("anchor.made", {"kind": "status", "size": int(size), "root": root}), run="-", actor=ACTOR)
    store = tmp_path / "reports" / "local"
    assert problems(store, 11) == []
    assert verify(store).checks[10].detail.endswith("1 recorded")

    for wrong in (0, 1, 9):
        log.append(content_of("anchor.made", {"kind": "status", "size": wrong, "root": "x"}), run="-", actor=ACTOR)
    assert [problem.split(":")[0] for problem in problems(store, 11)] == [entries.name(seq) for seq in (2, 3, 4)]


def of_anchors(store: Path) -> list[str]:
    """A reply made up here is none to step 12."""
    return [str(finding) for finding in verify(store).findings if finding.step == 11]


@pytest.mark.parametrize(
    "name, key", [("anchors/00000001.checkpoint", "sha256"), ("anchors/00000001.tsr", "reply_sha256")]
)
def test_what_a_recorded_anchor_left_in_the_record_is_still_there(tmp_path: Path, name: str, key: str) -> None:
    log = open_log(tmp_path, HandClock())
    store = tmp_path / "reports" / "local"
    _, _, size, root = log.checkpoint().split(" ")
    content = log.signed().text.encode()
    log.store.create(name, content)
    file = {"file": name} if key == "sha256" else {}
    made = {"kind": "copy", "size": int(size), "root": root, key: hashlib.sha256(content).hexdigest(), **file}
    log.append(content_of("anchor.made", made), run="-", actor=ACTOR)
    assert of_anchors(store) == []

    (store / name).write_bytes(b"another")
    assert f"{name}: is not the file that event 1 recorded" in of_anchors(store)
    (store / name).unlink()
    assert of_anchors(store) == [f"{name}: is missing, though event 1 recorded it"]


def test_a_timestamp_verifies_over_its_checkpoint(stamped: Path) -> None:
    assert problems(stamped, 12) == []
    assert verify(stamped).checks[11].detail == "1 replies"


def test_a_timestamp_that_states_thousandths_of_a_second_verifies(stamped: Path, tmp_path: Path) -> None:
    with (tmp_path / "tsa.cnf").open("a") as configuration:
        configuration.write("clock_precision_digits = 3\n")
    reply = stamped / "anchors/00000002.tsr"
    made = ("openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", str(reply))
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    shown = subprocess.run(("openssl", "ts", "-reply", "-in", reply, "-text"), check=True, capture_output=True).stdout
    assert re.search(rb"Time stamp: .*:\d\d\.\d+ ", shown)  # a whole second says no fraction, once in a thousand times

    assert problems(stamped, 12) == []


def test_a_timestamp_of_another_checkpoint_is_found(stamped: Path) -> None:
    copy(stamped, 1)
    shutil.copy(stamped / "anchors/00000002.tsr", stamped / "anchors/00000001.tsr")

    assert problems(stamped, 12) == ["anchors/00000001.tsr: does not verify over its checkpoint"]


def test_a_reply_that_is_none_is_found(stamped: Path) -> None:
    (stamped / "anchors/00000002.tsr").write_bytes(b"noise")

    assert problems(stamped, 12) == ["anchors/00000002.tsr: is no timestamp reply"]


def test_a_timestamp_without_an_authority_to_trust_is_no_pass(record: Record) -> None:
    copy(record.store, 1).with_suffix(".tsr").write_bytes(b"")

    assert "no trust set holds tsa-ca.pem" in problems(record.store, 12)[0]


def test_a_missing_openssl_is_no_pass(stamped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", ())

    assert problems(stamped, 12) == ["anchors/00000002.tsr: cannot be checked: openssl is not installed"]
