"""The log's key is changed by the old one, completely or not at all, wherever the process dies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_deploy.errors import RecordError, RecordTampered, Refused
from pytest_deploy.record import key
from pytest_deploy.record.events import parse
from pytest_deploy.record.key import FileSigner, LogKey
from pytest_deploy.record.lease import take
from pytest_deploy.record.log import Log
from pytest_deploy.record.open_record import IN_A_FILE, KeyFile, confirm, rotate
from pytest_deploy.record.store import FolderStore
from pytest_deploy.verify.verify import verify
from tests.unit.record.sample_record import ACTOR, ORIGIN, HandClock, RunWriter, deployed, open_log
from tests.unit.verify.altered_record import forge
from tests.unit.verify.conftest import Record
from tests.unit.verify.second_verifier import both

ROTATES = """
import os, signal, sys
from pathlib import Path
from pytest_deploy.record.open_record import IN_A_FILE, KeyFile, rotate
from pytest_deploy.record.lease import take
from pytest_deploy.record.key import FileSigner
from tests.unit.record.sample_record import ACTOR, open_log

home, left = Path(sys.argv[1]), [int(sys.argv[2])]
log = open_log(home)

def die(name, _):
    if name in {"os.link", "os.rename"}:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
file = KeyFile(home / "keys" / "local.pem")
successor = file.make_successor()
rotate(log, home / "reports" / "local", FileSigner.open(successor), signer=IN_A_FILE, reason="yearly", actor=ACTOR)
file.install(successor)
"""
"""Rotates, and dies right before the nth file gets its name: with n from 1 on, at every step that lasts."""


def killed_before(home: Path, step: int) -> bool:
    """Whether it died; it went through where there are fewer steps."""
    words = [sys.executable, "-c", ROTATES, str(home), str(step)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode in {0, -9}, ran.stderr
    return ran.returncode == -9


def store(home: Path) -> Path:
    return home / "reports" / "local"


def keys(home: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in (home / "keys").glob("*.pem*"))


def rotated(home: Path, *, keep: bool = False) -> Log:
    """Rotate the key file of the record in `home`, as the command does."""
    log, file = open_log(home, HandClock()), KeyFile(home / "keys" / "local.pem")
    if keep:
        file.retire()
    successor = file.make_successor()
    rotate(log, store(home), FileSigner.open(successor), signer=IN_A_FILE, reason="yearly", actor=ACTOR)
    file.install(successor)
    return log


def vkey(home: Path) -> str:
    return LogKey(ORIGIN, FileSigner.open(home / "keys" / "local.pem").public).vkey


def test_the_old_key_names_the_new_one_which_signs_from_then_on(tmp_path: Path) -> None:
    before = open_log(tmp_path, HandClock()).key.vkey

    log = rotated(tmp_path)

    named, shown = list(log.events(1))
    assert ("key.rotated", vkey(tmp_path), before, IN_A_FILE) == (
        named.type, named.data["vkey"], named.data["previous"], named.data["signer"],
    )  # fmt: skip
    assert ("key.enrolled", named.data["set"]) == (shown.type, shown.data["set"])
    deployed(log)
    deployed(open_log(tmp_path, log.clock))
    assert both(store(tmp_path)) == (True, "")
    assert vkey(tmp_path) == verify(store(tmp_path)).vkey != before


def test_the_retired_key_is_destroyed_or_kept_where_asked(tmp_path: Path) -> None:
    open_log(tmp_path / "a", HandClock())
    rotated(tmp_path / "a")
    assert keys(tmp_path / "a") == ["local.pem"]

    old = open_log(tmp_path / "b", HandClock()).key
    rotated(tmp_path / "b", keep=True)
    (kept,) = (tmp_path / "b" / "keys").glob("local.retired-*.pem")
    assert (old.public, 0o600) == (FileSigner.open(kept).public, kept.stat().st_mode & 0o777)
    assert f"local.retired-{old.fingerprint[:16]}.pem" == kept.name


STEPS = 10
"""Files that get a name in a rotation: the new key, four of its trust set, the event, two plain copies, the new key's own
event, and the key's place."""


@pytest.mark.parametrize(
    "step, begun",
    [
        pytest.param(1, False, marks=pytest.mark.faults),
        (2, False),
        *(pytest.param(step, False, marks=pytest.mark.faults) for step in (3, 4, 5, 6)),
        (7, True),
        *(pytest.param(step, True, marks=pytest.mark.faults) for step in (8, 9)),
        (STEPS, True),
    ],
)
def test_wherever_it_is_killed_the_next_who_opens_the_record_goes_on(tmp_path: Path, step: int, begun: bool) -> None:  # noqa: FBT001 -- a table
    """Before every file that gets a name; nothing is done by hand, and both verifiers take what comes after."""
    old = open_log(tmp_path).key.vkey
    assert killed_before(tmp_path, step)

    log = open_log(tmp_path)
    log.append(parse("clock.skewed", {"skew_s": 0.0, "source": "test"}), run="-", actor=ACTOR)

    types = [event.type for event in log.events(1)]
    assert [*(["key.rotated", "key.enrolled"] if begun else []), "clock.skewed"] == types
    assert begun == (log.key.vkey != old)
    assert log.key.vkey == vkey(tmp_path) == (store(tmp_path) / "trust" / "log.vkey").read_text().strip()
    assert keys(tmp_path) == ["local.pem"] or not begun
    assert both(store(tmp_path)) == (True, "")


@pytest.mark.faults
def test_a_rotation_has_no_more_steps_than_it_is_killed_at(tmp_path: Path) -> None:
    open_log(tmp_path)

    assert not killed_before(tmp_path, STEPS + 1)


def test_a_successor_that_never_signed_is_used_by_the_next_rotation(tmp_path: Path) -> None:
    open_log(tmp_path, HandClock())
    made = FileSigner.open(KeyFile(tmp_path / "keys" / "local.pem").make_successor()).public

    assert made != open_log(tmp_path, HandClock()).key.public, "made is not in force"
    assert made == rotated(tmp_path).key.public
    assert keys(tmp_path) == ["local.pem"]


def test_a_new_key_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    """The folder of keys is gone, and a file lies in its place."""
    open_log(tmp_path, HandClock())
    (tmp_path / "elsewhere").write_text("no folder")

    with pytest.raises(RecordError, match="cannot be made"):
        KeyFile(tmp_path / "elsewhere" / "local.pem").make_successor()


def test_a_successor_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    KeyFile(tmp_path / "keys" / "local.pem").make_successor().chmod(0o644)

    with pytest.raises(RecordError, match="others can read it"):
        open_log(tmp_path, log.clock)


def test_a_rotation_to_a_key_in_no_file_that_was_cut_short_is_finished_by_asking_again(tmp_path: Path) -> None:
    """Nobody who opens the record finds such a key beside it: the same command, with the same key, does."""
    log, new = open_log(tmp_path, HandClock()), FileSigner.open_or_create(tmp_path / "elsewhere.pem")
    named = rotate(log, store(tmp_path), new, signer="the service", reason="yearly", actor=ACTOR)
    (store(tmp_path) / "log" / "00000002.event").unlink()
    (store(tmp_path) / "trust" / "log.vkey").write_text("as it was")

    begun = Log(log.store, FileSigner.open(tmp_path / "keys" / "local.pem"), ORIGIN, log.clock)
    assert named == rotate(begun, store(tmp_path), new, signer="the service", reason="again", actor=ACTOR)

    assert [event.type for event in begun.events(1)] == ["key.rotated", "key.enrolled"]
    assert both(store(tmp_path)) == (True, "")


def test_a_new_key_that_has_signed_already_signs_its_first_event_once(tmp_path: Path) -> None:
    """Two that finish one rotation: the second finds it finished."""
    log, new = open_log(tmp_path, HandClock()), FileSigner.open_or_create(tmp_path / "elsewhere.pem")
    named = rotate(log, store(tmp_path), new, signer="the service", reason="yearly", actor=ACTOR)

    confirm(log, store(tmp_path), new, named, actor=ACTOR)

    assert [event.type for event in log.events(1)] == ["key.rotated", "key.enrolled"]


def test_the_key_that_signs_is_no_new_one(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    present = FileSigner.open(tmp_path / "keys" / "local.pem")

    with pytest.raises(Refused, match="signs the log already; a rotation needs another key"):
        rotate(log, store(tmp_path), present, signer=IN_A_FILE, reason="yearly", actor=ACTOR)

    assert list(log.events(1)) == []


def test_nobody_rotates_the_key_of_a_record_in_use(tmp_path: Path) -> None:
    writing = RunWriter(open_log(tmp_path, HandClock())).open()

    with pytest.raises(Refused, match=f"{writing.run} is open and signs with the present key"):
        rotated(tmp_path)

    assert [event for event in open_log(tmp_path, HandClock()).events() if event.type == "key.rotated"] == []


def test_a_run_that_took_the_lease_and_has_not_opened_is_in_use_too(tmp_path: Path) -> None:
    writing = RunWriter(open_log(tmp_path, HandClock())).open()
    writing.close("failed")
    other = RunWriter(writing.log)
    take(other.log, other.run, name="local", actor=ACTOR)

    with pytest.raises(Refused, match=f"{other.run} is open"):
        rotated(tmp_path)


def test_nor_while_a_plan_is_open_that_is_older_than_the_newest_lease(tmp_path: Path) -> None:
    plan = RunWriter(open_log(tmp_path, HandClock()), pipeline="plan").open()
    deployed(plan.log)

    with pytest.raises(Refused, match=f"{plan.run} is open and signs with the present key"):
        rotated(tmp_path)
    plan.close("passed")
    rotated(tmp_path)


def test_a_process_that_holds_the_old_key_writes_nothing_more(tmp_path: Path) -> None:
    held = open_log(tmp_path, HandClock())
    rotated(tmp_path)
    size = len(list((store(tmp_path) / "log").iterdir()))

    for _ in range(2):
        with pytest.raises(RecordError, match=r"event 1 rotated the log's key to .*run the command again"):
            deployed(held)

    assert size == len(list((store(tmp_path) / "log").iterdir()))


def test_whoever_loses_the_race_to_rotate_is_refused(tmp_path: Path) -> None:
    held = open_log(tmp_path, HandClock())
    _ = held.head()
    rotated(tmp_path)
    new = FileSigner.open_or_create(tmp_path / "other.pem")

    with pytest.raises(RecordError, match="rotated the log's key"):
        rotate(held, store(tmp_path), new, signer=IN_A_FILE, reason="yearly", actor=ACTOR)


def test_a_roster_changed_in_between_refuses_the_rotation(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    new = FileSigner.open_or_create(tmp_path / "other.pem")
    other = open_log(tmp_path, HandClock())

    class Meddling(FolderStore):
        """Somebody else enrolls somebody right before the event of the rotation."""

        def create(self, name: str, data: bytes) -> None:
            if name == "log/00000001.event" and other.head() is not None:
                folder, sha256 = key.write_set(other.store, key.first_set(other.key))
                said = {"set": folder, "set_sha256": sha256, "person": None, "fingerprint": None, "reason": "x"}
                other.append(parse("key.enrolled", said), run="-", actor=ACTOR)
            super().create(name, data)

    meddled = Log(Meddling(store(tmp_path)), FileSigner.open(tmp_path / "keys/local.pem"), ORIGIN, log.clock)
    with pytest.raises(Refused, match="changed the roster or the key meanwhile"):
        rotate(meddled, store(tmp_path), new, signer=IN_A_FILE, reason="yearly", actor=ACTOR)


# --- a rotation by anybody else


def test_a_log_rotated_by_a_strangers_key_is_refused_by_its_writer_and_by_both_verifiers(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    stranger = FileSigner.open_or_create(tmp_path / "stranger.pem")
    files = key.first_set(LogKey(ORIGIN, stranger.public))
    folder, sha256 = key.write_set(log.store, files)
    said = {"set": folder, "set_sha256": sha256, "person": None, "fingerprint": None, "reason": "yearly"}
    record = Record(store(tmp_path), "", "", "", "", 1, "", "")
    forge(record, 1, stranger, type="key.rotated", data={**said, "vkey": LogKey(ORIGIN, stranger.public).vkey})
    key.write_plain_copies(store(tmp_path), files)

    assert both(store(tmp_path)) == (False, "log/00000001.event")
    with pytest.raises(RecordTampered, match="not signed by this log's key"):
        open_log(tmp_path, HandClock())

    forge(record, 1, FileSigner.open(tmp_path / "keys" / "local.pem"), type="key.rotated", data=said)
    assert both(store(tmp_path)) == (True, ""), "the log's own key may"


def test_an_event_of_the_retired_key_after_the_rotation_is_refused_by_both(tmp_path: Path) -> None:
    open_log(tmp_path, HandClock())
    retired = FileSigner.open(tmp_path / "keys" / "local.pem")
    rotated(tmp_path)
    skewed = {"type": "clock.skewed", "run": "-", "data": {"skew_s": 0.0, "source": "x"}}

    forge(Record(store(tmp_path), "", "", "", "", 3, "", ""), 3, retired, **skewed)

    assert both(store(tmp_path)) == (False, "log/00000003.event")
