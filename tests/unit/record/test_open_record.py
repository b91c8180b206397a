"""A record is born with its key and its trust set; an existing one is opened only if it is what its key signed."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from pytest_deploy.errors import RecordError, RecordTampered, Refused, StoreUnavailable
from pytest_deploy.record import log_entry
from pytest_deploy.record.events import parse
from pytest_deploy.record.key import first_set, parse_vkey, write_plain_copies, write_set
from pytest_deploy.record.log import Log
from pytest_deploy.verify.verify import verify
from tests.required_programs import needs
from tests.unit.record.sample_record import ORIGIN, open_log


def store(home: Path) -> Path:
    return home / "reports" / "local"


def born(home: Path) -> str:
    return open_log(home).checkpoint()


def test_event_0_enrols_the_key_and_binds_the_trust_set(tmp_path: Path) -> None:
    event = open_log(tmp_path).head()
    assert event is not None
    folder = store(tmp_path) / event.data["set"]

    assert (event.seq, event.type, event.run) == (0, "key.enrolled", "-")
    assert sorted(path.name for path in folder.iterdir()) == ["allowed_signers", "log.pem", "log.vkey", "roles.json"]
    assert parse_vkey((folder / "log.vkey").read_text()).origin == ORIGIN
    assert f"trust/{event.data['set_sha256'][:16]}" == event.data["set"]
    assert (folder / "log.pem").read_bytes() == (store(tmp_path) / "trust" / "log.pem").read_bytes()


def test_stock_sha256sum_gives_the_hash_of_a_trust_set(tmp_path: Path) -> None:
    needs("sha256sum")
    event = open_log(tmp_path).head()
    assert event is not None
    command = f"cd {store(tmp_path) / event.data['set']} && sha256sum * | sha256sum"
    done = subprocess.run(["sh", "-c", command], env={**os.environ, "LC_ALL": "C"}, capture_output=True, check=True)

    assert event.data["set_sha256"] == done.stdout.split()[0].decode()


def test_opening_it_again_adds_nothing(tmp_path: Path) -> None:
    first = born(tmp_path)

    assert first == born(tmp_path)


def test_of_many_that_open_it_first_one_bears_it(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        checkpoints = set(pool.map(born, [tmp_path] * 4))

    assert len(checkpoints) == 1
    assert [log_entry.name(0)] == [f"log/{path.name}" for path in (store(tmp_path) / "log").iterdir()]
    assert verify(store(tmp_path)).ok


def test_a_birth_that_was_killed_before_event_0_is_finished_by_the_next(tmp_path: Path) -> None:
    born(tmp_path)
    (store(tmp_path) / log_entry.name(0)).unlink()
    next((store(tmp_path) / "trust").glob("*/roles.json")).unlink()
    for path in (*(store(tmp_path) / "trust").glob("*.*"), store(tmp_path) / "trust/allowed_signers"):
        path.unlink()  # stored once event 0 is there
    (tmp_path / "keys" / "local.begun").unlink()  # and so is this
    born(tmp_path)

    assert verify(store(tmp_path)).ok


def test_a_log_whose_key_is_missing_is_not_given_a_new_one(tmp_path: Path) -> None:
    born(tmp_path)
    (tmp_path / "keys" / "local.pem").unlink()

    with pytest.raises(RecordError, match="restore it"):
        born(tmp_path)
    assert not (tmp_path / "keys" / "local.pem").exists()


def test_a_log_another_key_signed_is_refused(tmp_path: Path) -> None:
    born(tmp_path)
    born(tmp_path / "other")
    (tmp_path / "other/keys/local.pem").replace(tmp_path / "keys/local.pem")

    with pytest.raises(RecordTampered, match="not signed by this log's key"):
        born(tmp_path)


def test_a_gap_in_the_names_is_noticed_at_once(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for _ in range(5):
        log.append(parse("alert.raised", {"alert": "a", "detail": "b"}), run="-", actor="system:test")
    (store(tmp_path) / log_entry.name(2)).unlink()

    with pytest.raises(RecordTampered, match=r"00000002\.event is missing"):
        born(tmp_path)


def test_a_stranger_in_the_log_folder_is_noticed_an_unfinished_write_is_not(tmp_path: Path) -> None:
    born(tmp_path)
    (store(tmp_path) / "log" / ".0123.new").write_bytes(b"half")
    born(tmp_path)
    (store(tmp_path) / "log" / "notes.txt").write_bytes(b"")

    with pytest.raises(RecordTampered, match=r"notes\.txt is no event"):
        born(tmp_path)


def test_a_log_that_was_emptied_does_not_begin_again(tmp_path: Path) -> None:
    """Truncation to nothing: what was stored beside the log tells of it."""
    open_log(tmp_path)
    (event,) = (tmp_path / "reports/local/log").iterdir()
    event.unlink()

    with pytest.raises(RecordTampered, match=r"holds no event, yet trust/log\.vkey is there: the log was removed"):
        open_log(tmp_path)
    assert list((tmp_path / "reports/local/log").iterdir()) == []


def first_reason(log: Log) -> str:
    return str(next(log.events()).data["reason"])


def test_a_record_that_was_removed_does_not_begin_again_without_a_word(tmp_path: Path) -> None:
    """Its folder is gone as a whole: what lies beside the key tells that there was one."""
    open_log(tmp_path)
    shutil.rmtree(store(tmp_path))

    with pytest.raises(RecordTampered, match="reports/local holds no record, and one was begun here") as told:
        open_log(tmp_path)
    assert "`pytest-deploy keys init local --new-record --reason 'reports/local was removed'`" in str(told.value)
    assert not store(tmp_path).exists()

    anew = open_log(tmp_path, new_record="OPS-7: the disk was lost")
    assert first_reason(anew) == "begun anew: OPS-7: the disk was lost"
    assert open_log(tmp_path).checkpoint() == anew.checkpoint()
    assert verify(store(tmp_path)).ok


def test_a_record_whose_key_went_with_it_does_not_begin_again_either(tmp_path: Path) -> None:
    open_log(tmp_path)
    shutil.rmtree(store(tmp_path))
    (tmp_path / "keys" / "local.pem").unlink()

    with pytest.raises(RecordTampered, match="one was begun here"):
        open_log(tmp_path)
    assert not (tmp_path / "keys" / "local.pem").exists()


def test_a_record_begun_before_this_was_kept_is_known_once_it_was_opened(tmp_path: Path) -> None:
    open_log(tmp_path)
    (tmp_path / "keys" / "local.begun").unlink()
    open_log(tmp_path)
    shutil.rmtree(store(tmp_path))

    with pytest.raises(RecordTampered, match="one was begun here"):
        open_log(tmp_path)


def test_a_first_begin_that_failed_is_no_record_that_was_removed(tmp_path: Path) -> None:
    """The key was made, and the store took nothing: nobody has to say anything for the next try."""
    (tmp_path / "reports").write_text("")
    with pytest.raises(StoreUnavailable):
        open_log(tmp_path)
    (tmp_path / "reports").unlink()

    assert first_reason(open_log(tmp_path)) == "the log begins"


def test_a_new_record_is_begun_where_there_is_none_and_never_over_one(tmp_path: Path) -> None:
    assert first_reason(open_log(tmp_path, new_record="OPS-7")) == "begun anew: OPS-7"

    with pytest.raises(Refused, match="reports/local holds a record: it goes on"):
        open_log(tmp_path, new_record="OPS-8")


def test_a_record_that_is_open_can_be_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    """What lies there already is not stored again: no file is made to find that out."""
    open_log(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "reports").rglob("*")}
    open_log(tmp_path)

    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "reports").rglob("*")}


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("")

    with pytest.raises(StoreUnavailable, match="cannot be written"):
        born(tmp_path)


def test_plain_copies_follow_the_newest_set(tmp_path: Path) -> None:
    born(tmp_path)
    write_plain_copies(store(tmp_path), {"roles.json": b"{}\n", "allowed_signers": b"new\n"})

    assert (store(tmp_path) / "trust" / "allowed_signers").read_bytes() == b"new\n"
    assert [path for path in (store(tmp_path) / "trust").iterdir() if path.name.startswith(".")] == []


def test_conveniences_that_cannot_be_laid_are_an_error(tmp_path: Path) -> None:
    born(tmp_path)
    trust = store(tmp_path) / "trust"
    for path in trust.iterdir():
        if path.is_file():
            path.unlink()
    (trust / "roles.json").mkdir()

    with pytest.raises(StoreUnavailable, match="cannot be written"):
        born(tmp_path)


def test_a_machine_that_is_new_to_a_record_lays_the_newest_copies(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    newest = {**first_set(log.key), "tsa-ca.pem": b"a certificate"}
    place, sha256 = write_set(log.store, newest)
    enrolled = {"set": place, "set_sha256": sha256, "person": None, "fingerprint": None, "reason": "a set more"}
    log.append(parse("key.enrolled", enrolled), run="-", actor="system:test")
    for path in [path for path in (store(tmp_path) / "trust").iterdir() if path.is_file()]:
        path.unlink()
    born(tmp_path)

    assert newest == {path.name: path.read_bytes() for path in (store(tmp_path) / "trust").iterdir() if path.is_file()}
    assert verify(store(tmp_path)).findings == ()
