from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_deploy.errors import RecordError, RecordTampered, StoreUnavailable
from pytest_deploy.record import atomic_file
from pytest_deploy.record.store import Exists, FolderStore, Missing
from tests.unprivileged import as_nobody, open_folder


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def test_what_was_created_can_be_read_and_listed(store: FolderStore) -> None:
    for name in ("log/00000001.event", "log/00000000.event", "runs/a/b.json"):
        store.create(name, name.encode())

    assert store.get("runs/a/b.json") == b"runs/a/b.json"
    assert list(store.names("log/")) == ["log/00000000.event", "log/00000001.event"]
    assert list(store.names("log/00000001")) == ["log/00000001.event"]
    assert len(list(store.names(""))) == 3


def test_a_taken_name_is_refused_and_keeps_its_bytes(store: FolderStore) -> None:
    store.create("a", b"first")
    with pytest.raises(Exists, match="nothing in a record is replaced"):
        store.create("a", b"second")

    assert store.get("a") == b"first"


def test_an_object_that_is_not_there_is_missing(store: FolderStore) -> None:
    with pytest.raises(Missing):
        store.get("a")

    assert list(store.names("log/")) == []


def test_unfinished_writes_are_not_in_the_store(store: FolderStore) -> None:
    store.create("log/a", b"")
    (store.path / "log" / ".0123.new").write_bytes(b"half")
    (store.path / ".hidden").mkdir()
    (store.path / ".hidden" / "b").write_bytes(b"")

    assert list(store.names("")) == ["log/a"]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../b", "a//b", ".a", "a/.b", "a\nb", "a\\b", "a/"])
def test_a_name_that_leads_elsewhere_is_refused(store: FolderStore, name: str) -> None:
    with pytest.raises(RecordError, match="no name"):
        store.create(name, b"")


def test_a_symbolic_link_is_not_an_object(store: FolderStore, tmp_path: Path) -> None:
    store.create("a", b"text")
    (store.path / "b").symlink_to(store.path / "a")

    with pytest.raises(RecordTampered, match="symbolic link"):
        store.get("b")


def test_a_fifo_is_not_waited_for(store: FolderStore) -> None:
    store.create("a", b"text")
    os.mkfifo(store.path / "b")

    with pytest.raises(RecordTampered, match="no regular file"):
        store.get("b")


def test_files_are_readable_by_all_whatever_the_umask(store: FolderStore) -> None:
    store.create("a", b"")

    assert (store.path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("what", ["create", "get"])
def test_a_place_that_cannot_be_used_says_which_and_what_to_do(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("")
    store = FolderStore(tmp_path / "file")

    with pytest.raises(StoreUnavailable, match=r"file/a cannot be (written|read): Not a directory"):
        store.create("a", b"") if what == "create" else store.get("a")


def test_of_many_that_create_one_name_one_wins(store: FolderStore) -> None:
    gate = threading.Barrier(8)

    def create(number: int) -> bool:
        gate.wait()
        try:
            store.create("log/x", str(number).encode())
        except Exists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))

    assert [won.index(True)] == [number for number, mine in enumerate(won) if mine]
    assert str(won.index(True)).encode() == store.get("log/x")
    assert [store.path / "log" / "x"] == list((store.path / "log").iterdir())


FULL = """
import resource, sys
from pathlib import Path
from pytest_deploy.errors import StoreUnavailable
from pytest_deploy.record.store import FolderStore
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    FolderStore(Path(sys.argv[1])).create("log/a", b"x" * 600)
except StoreUnavailable as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 1, 300, 599])
def test_a_write_that_fails_midway_leaves_nothing(tmp_path: Path, room: int) -> None:
    """The system refuses at a byte of the file; no object appears, no rest stays, and the reason is told."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(room)], capture_output=True, text=True, check=True
    )

    assert "cannot be written: File too large" in done.stdout
    assert list((tmp_path / "log").iterdir()) == []


def test_a_write_with_room_enough_succeeds(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path), "600"], capture_output=True, check=True)

    assert (tmp_path / "log" / "a").stat().st_size == 600


def test_a_folder_without_rights_is_unavailable_and_one_with_them_is_written() -> None:
    with open_folder() as folder:
        mine, closed = folder / "mine", folder / "closed"
        mine.mkdir()
        mine.chmod(0o777)
        closed.mkdir(mode=0o500)
        with as_nobody():
            FolderStore(mine).create("a", b"")
            with pytest.raises(StoreUnavailable, match="this user may not"):
                FolderStore(closed).create("a", b"")

        assert (mine / "a").is_file()
        assert list(closed.iterdir()) == []


def test_a_missing_folder_is_made_by_whoever_comes_first(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: atomic_file.create(tmp_path / "a" / "b" / "c" / str(number), b""), range(8)))

    assert {str(number) for number in range(8)} == {path.name for path in (tmp_path / "a" / "b" / "c").iterdir()}
