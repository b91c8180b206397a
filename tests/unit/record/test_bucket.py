"""A record's objects in a bucket, against the real fake-gcs-server and a bucket that refuses as a locked one does."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from pytest_deploy.errors import RecordError, RecordTampered, StoreUnavailable, UsageError
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.bucket import EMULATOR, MARK, Bucket, MirroredStore, copy_of
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.events import parse
from pytest_deploy.record.log import Log
from pytest_deploy.record.open_record import open_record
from pytest_deploy.record.run_folder import SUMS, RunFolder
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.store import Exists, FolderStore, Missing
from tests.fake_gcs import asking
from tests.locked_bucket import SEVEN_YEARS_S, LockedBucket, locked_bucket
from tests.unit.record.sample_record import ACTOR, ORIGIN, RunWriter

BUCKET = "record-of-tests"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[LockedBucket, str]]:
    with locked_bucket(BUCKET) as (standing, url):
        yield standing, url


@pytest.fixture
def locked(served: tuple[LockedBucket, str]) -> Iterator[LockedBucket]:
    standing, url = served
    fresh = LockedBucket(standing.upstream)
    vars(standing).update(vars(fresh))
    with asking(url):
        yield standing
    standing.down = False


@pytest.fixture
def bucket(locked: LockedBucket) -> Bucket:
    return Bucket(BUCKET, f"r-{uuid.uuid4().hex[:12]}", call_s=2, all_s=1.5)


@pytest.fixture
def copied(bucket: Bucket, tmp_path: Path) -> MirroredStore:
    return MirroredStore(bucket, tmp_path / "copy")


def opened(bucket: Bucket, home: Path, key: Path) -> Log:
    store = MirroredStore(bucket, home / "copy")
    return open_record(store, origin=ORIGIN, key_file=key, clock=SystemClock(), actor=ACTOR)


def test_what_was_created_can_be_read_and_listed(bucket: Bucket) -> None:
    for name in ("log/00000001.event", "log/00000000.event", "runs/a/b.json"):
        bucket.create(name, name.encode())

    assert bucket.get("runs/a/b.json") == b"runs/a/b.json"
    assert list(bucket.names("log/")) == ["log/00000000.event", "log/00000001.event"]
    assert list(bucket.names("log/00000001")) == ["log/00000001.event"]
    assert len(list(bucket.names(""))) == 3


def test_a_taken_name_is_refused_and_keeps_its_bytes(bucket: Bucket) -> None:
    bucket.create("a", b"first")
    with pytest.raises(Exists, match="nothing in a record is replaced"):
        bucket.create("a", b"second")
    with pytest.raises(Exists):
        bucket.create("a", b"first")

    assert bucket.get("a") == b"first"


def test_an_object_that_is_not_there_is_missing_and_a_bucket_that_is_not_there_is_unavailable(bucket: Bucket) -> None:
    with pytest.raises(Missing):
        bucket.get("a")
    assert list(bucket.names("log/")) == []

    nowhere = Bucket("no-such-bucket", "", call_s=2, all_s=1)
    for ask in (
        lambda: nowhere.get("a"),
        lambda: list(nowhere.names("")),
        lambda: nowhere.create("a", b""),
        nowhere.holding,
    ):
        with pytest.raises(StoreUnavailable, match="there is no bucket gs://no-such-bucket"):
            ask()


@pytest.mark.parametrize("name", ["", "/etc/passwd", "a/../b", ".a", "a\nb"])
def test_a_name_that_leads_elsewhere_is_refused(bucket: Bucket, name: str) -> None:
    with pytest.raises(RecordError, match="no name"):
        bucket.create(name, b"")


def test_what_a_busy_server_refuses_is_asked_again(bucket: Bucket, locked: LockedBucket) -> None:
    locked.failing = [503, 429]
    bucket.create("a", b"x")
    locked.failing = [500]

    assert bucket.get("a") == b"x"


def test_an_upload_whose_reply_was_lost_is_known_by_its_bytes(bucket: Bucket, locked: LockedBucket) -> None:
    locked.losing = 1
    bucket.create("a", b"mine")
    assert (locked.losing, bucket.get("a")) == (0, b"mine")

    locked.failing = [503]
    with pytest.raises(Exists):
        bucket.create("a", b"another's")


@pytest.mark.parametrize("ask", ["create", "get", "names", "holding", "administrators"])
def test_no_answer_ends_within_the_time_and_says_what_to_do(bucket: Bucket, locked: LockedBucket, ask: str) -> None:
    locked.down = True
    calls = {
        "create": lambda: bucket.create("a", b""),
        "get": lambda: bucket.get("a"),
        "names": lambda: list(bucket.names("")),
        "holding": bucket.holding,
        "administrators": bucket.administrators,
    }

    with pytest.raises(StoreUnavailable, match=r"no answer within 1.5 s .* see to the network"):
        calls[ask]()


def test_an_identity_without_the_right_is_told_which_it_needs(bucket: Bucket, locked: LockedBucket) -> None:
    locked.failing = [403]
    with pytest.raises(StoreUnavailable, match=r"this identity may not .*storage.objectCreator"):
        bucket.create("a", b"")
    locked.failing = [401]
    with pytest.raises(StoreUnavailable, match="no valid credentials"):
        bucket.create("a", b"")


def test_a_machine_without_credentials_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(EMULATOR, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))

    with pytest.raises(StoreUnavailable, match="no valid credentials"):
        list(Bucket("b-c", "").names(""))


@pytest.mark.parametrize("host", ["http://storage.example.org", "10.0.0.1:80"])
def test_a_stand_in_beyond_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv(EMULATOR, host)

    with pytest.raises(UsageError, match="no loopback address"):
        Bucket("b-c", "").get("a")


def test_retention_class_and_rights_are_read_back(bucket: Bucket, locked: LockedBucket) -> None:
    held = bucket.holding()
    assert (held.locked, held.period_s, held.storage_class, held.may) == (True, SEVEN_YEARS_S, "ARCHIVE", ())
    assert held.effective == datetime(2026, 1, 1, tzinfo=UTC)

    locked.period_s, locked.storage_class, locked.may = None, "STANDARD", frozenset({"storage.objects.delete"})
    held = bucket.holding()
    assert (held.locked, held.period_s, held.storage_class, held.may) == (
        False, None, "STANDARD", ("storage.objects.delete",)
    )  # fmt: skip


def test_the_stand_in_refuses_replace_and_delete_as_a_locked_bucket_does(
    bucket: Bucket, served: tuple[LockedBucket, str]
) -> None:
    """What the rehearsals against it rest on."""
    standing, url = served
    bucket.create("a", b"x")
    name = f"{bucket.url.removeprefix(f'gs://{BUCKET}/')}%2Fa"
    for may, reason in ((frozenset(), "forbidden"), (frozenset({"storage.objects.delete"}), "retentionPolicyNotMet")):
        standing.may = may
        for answer in (
            requests.delete(f"{url}/storage/v1/b/{BUCKET}/o/{name}", timeout=5),
            requests.post(f"{url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}", data=b"y", timeout=5),
        ):
            assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (403, reason)

    assert bucket.get("a") == b"x"


def test_of_many_that_create_one_name_one_wins(bucket: Bucket) -> None:
    gate = threading.Barrier(8)

    def create(number: int) -> bool:
        gate.wait()
        try:
            bucket.create("log/x", str(number).encode())
        except Exists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))

    assert [won.index(True)] == [number for number, mine in enumerate(won) if mine]
    assert str(won.index(True)).encode() == bucket.get("log/x")


def test_eight_writers_contend_and_nothing_is_lost(bucket: Bucket, tmp_path: Path, locked: LockedBucket) -> None:
    """Each with a client and a copy of its own, as on eight machines; replies that are lost change nothing."""
    opened(bucket, tmp_path, tmp_path / "key.pem")
    locked.losing = 3

    def write(number: int) -> None:
        own = Bucket(BUCKET, bucket.url.removeprefix(f"gs://{BUCKET}/"))
        log = opened(own, tmp_path / str(number), tmp_path / "key.pem")
        for turn in range(4):
            log.append(parse("alert.raised", {"alert": str(number), "detail": str(turn)}), run=NO_RUN, actor=ACTOR)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))

    log = opened(bucket, tmp_path / "reader", tmp_path / "key.pem")
    told = [(e.data["alert"], e.data["detail"]) for e in log.events() if e.data.get("alert") in set("01234567")]
    assert sorted(told) == [(str(number), str(turn)) for number in range(8) for turn in range(4)]
    for number in range(8):
        assert [turn for who, turn in told if who == str(number)] == list("0123")
    assert (locked.losing, locked.refused) == (0, [])


def test_a_log_goes_on_from_another_machine(bucket: Bucket, tmp_path: Path) -> None:
    first = opened(bucket, tmp_path / "one", tmp_path / "key.pem")
    run = RunWriter(first).open()

    second = opened(bucket, tmp_path / "two", tmp_path / "key.pem")
    second.append(parse("alert.raised", {"alert": "x", "detail": "y"}), run=run.run, actor=ACTOR)

    assert [e.type for e in first.run(run.run)][-1] == "alert.raised"
    assert [path.name for path in sorted((tmp_path / "two" / "copy" / "log").iterdir())] == [
        entries.name(seq).rpartition("/")[2] for seq in range(len(first.history()))
    ]


def test_a_log_whose_bucket_is_down_is_unavailable_and_goes_on_afterwards(
    bucket: Bucket, tmp_path: Path, locked: LockedBucket
) -> None:
    log = opened(bucket, tmp_path, tmp_path / "key.pem")
    run = RunWriter(log).open().run
    locked.down = True
    assert [event.type for event in log.run_in_memory(run)] == ["lease.taken", "run.opened", "run.planned"]
    with pytest.raises(StoreUnavailable):
        log.append(parse("alert.raised", {"alert": "x", "detail": "lost"}), run=NO_RUN, actor=ACTOR)
    locked.down = False

    log.append(parse("alert.raised", {"alert": "x", "detail": "kept"}), run=NO_RUN, actor=ACTOR)
    assert [e.data["detail"] for e in log.events() if e.type == "alert.raised"] == ["kept"]


def test_an_event_whose_replies_were_all_lost_is_not_acknowledged_and_there_once(
    bucket: Bucket, tmp_path: Path, locked: LockedBucket
) -> None:
    log = opened(bucket, tmp_path, tmp_path / "key.pem")
    locked.losing = 1_000
    with pytest.raises(StoreUnavailable):
        log.append(parse("alert.raised", {"alert": "x", "detail": "lost"}), run=NO_RUN, actor=ACTOR)
    locked.losing = 0

    log.append(parse("alert.raised", {"alert": "x", "detail": "next"}), run=NO_RUN, actor=ACTOR)
    assert [e.data["detail"] for e in log.events() if e.type == "alert.raised"] == ["lost", "next"]


def test_a_runs_files_are_made_in_the_bucket_and_sealed_with_those_of_others(bucket: Bucket, tmp_path: Path) -> None:
    one, two = MirroredStore(bucket, tmp_path / "one"), MirroredStore(bucket, tmp_path / "two")
    run = "local-20261122T120000Z-aaaa"
    RunFolder(one, run).create("request.json", b"{}")
    RunFolder(two, run).create("approvals/a.json", b"signed elsewhere")
    RunFolder(one, run).seal()

    folder = FolderStore(two.folder()).path / "runs" / run
    assert sorted(line.split("  ")[1] for line in (folder / SUMS).read_text().splitlines()) == [
        "approvals/a.json",
        "request.json",
    ]
    with pytest.raises(RecordError, match="sealed"):
        RunFolder(two, run).create("b", b"")


def test_what_a_step_laid_into_the_copy_by_hand_is_set_aside_and_the_run_sealed(bucket: Bucket, tmp_path: Path) -> None:
    store = MirroredStore(bucket, tmp_path / "copy")
    folder = RunFolder(store, "local-20261122T120000Z-aaaa")
    folder.create("a", b"")
    place = tmp_path / "copy" / "runs" / folder.run
    for name in ("by hand", "by\nhand"):
        (place / name).write_bytes(b"x")

    told = folder.set_aside()

    assert [sentence.partition(" of the store")[1] for sentence in told] == [" of the store"] * 2
    assert "by hand is in the copy of the record alone; it lies now at .set-aside/" in told[1]
    assert folder.seal()
    assert sorted(bucket.names("runs/")) == [f"runs/{folder.run}/SHA256SUMS", f"runs/{folder.run}/a"]


def test_the_copy_is_read_in_place_of_the_bucket(copied: MirroredStore, locked: LockedBucket) -> None:
    copied.create("a", b"x")
    locked.asked.clear()

    assert copied.get("a") == b"x"
    assert locked.asked == []


def test_the_copy_takes_what_the_bucket_has(bucket: Bucket, copied: MirroredStore) -> None:
    bucket.create("log/a", b"1")
    assert copied.get("log/a") == b"1"
    bucket.create("log/b", b"2")
    bucket.create("runs/c", b"3")

    assert (copied.folder("log/") / "log" / "b").read_bytes() == b"2"
    assert not (copied.path / "runs").exists()
    assert (copied.folder() / "runs" / "c").read_bytes() == b"3"
    assert copy_of(copied.path) == bucket.url


def test_what_lies_in_the_copy_and_not_in_the_bucket_is_refused(copied: MirroredStore) -> None:
    copied.create("log/a", b"1")
    (copied.path / "log" / "b").write_bytes(b"forged")

    with pytest.raises(RecordTampered, match=r"log/b is not in gs://"):
        copied.folder()


def test_conveniences_of_the_disk_are_no_part_of_the_copy(copied: MirroredStore) -> None:
    copied.create("trust/0123/log.vkey", b"1")
    (copied.path / "trust" / "log.vkey").write_bytes(b"1")
    (copied.path / "verify.sh").write_bytes(b"#")

    copied.folder()
    assert copied.compare() == []


def test_a_copy_that_was_changed_is_found_by_comparing(copied: MirroredStore) -> None:
    copied.create("log/a", b"1")
    copied.create("log/b", b"2")
    (copied.path / "log" / "b").write_bytes(b"3")

    assert copied.compare() == ["log/b"]


def test_a_folder_that_is_a_record_or_another_buckets_copy_is_no_copy(bucket: Bucket, tmp_path: Path) -> None:
    FolderStore(tmp_path / "own").create("log/a", b"")
    with pytest.raises(UsageError, match="a record by itself"):
        MirroredStore(bucket, tmp_path / "own")

    (tmp_path / MARK).write_text("gs://other/x\n")
    with pytest.raises(UsageError, match="the copy of gs://other/x"):
        MirroredStore(bucket, tmp_path)


def test_a_copy_that_cannot_be_written_says_so(bucket: Bucket, tmp_path: Path) -> None:
    copied = MirroredStore(bucket, tmp_path / "file" / "copy")
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnavailable, match="cannot be written"):
        copied.create("a", b"")
