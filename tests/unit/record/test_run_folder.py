from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.errors import RecordError, RecordTampered, StoreUnavailable
from pytest_deploy.record import stored_file
from pytest_deploy.record.run_folder import ABANDONED_SUMS, SUMS, RunFolder, listing
from pytest_deploy.record.store import FolderStore
from tests.required_programs import needs

RUN = "local-20261122T120000Z-aaaa"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(FolderStore(tmp_path), RUN)


def test_files_lie_under_the_run_readable_and_made_once(folder: RunFolder, tmp_path: Path) -> None:
    path = folder.create("schema/before.sql", b"x")

    assert tmp_path / "runs" / RUN / "schema" / "before.sql" == path
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755
    with pytest.raises(RecordError, match="nothing in a record is replaced"):
        folder.create("schema/before.sql", b"y")


def test_the_seal_lists_every_file_but_itself_and_stock_sha256sum_agrees(folder: RunFolder) -> None:
    needs("sha256sum")
    for name in ("b.txt", "a/z", "a b", "ä", "B"):
        folder.create(name, name.encode())
    (folder.path / "written-by-another-plugin.xml").write_bytes(b"<x/>")
    sealed = folder.seal()
    text = (folder.path / SUMS).read_bytes()
    names = [line.split("  ", 1)[1] for line in text.decode().splitlines()]

    assert hashlib.sha256(text).hexdigest() == sealed
    assert names == ["B", "a b", "a/z", "b.txt", "written-by-another-plugin.xml", "ä"]
    subprocess.run(["sha256sum", "--strict", "-c", SUMS], cwd=folder.path, check=True, capture_output=True)


@pytest.mark.parametrize("sums", [SUMS, ABANDONED_SUMS])
def test_a_sealed_folder_takes_no_file_and_no_other_seal(folder: RunFolder, sums: str) -> None:
    folder.create("a", b"")
    sealed = folder.seal(sums=sums)

    assert folder.sealed
    with pytest.raises(RecordError, match="is sealed"):
        folder.create("b", b"")
    assert sealed == folder.seal(sums=sums)
    (folder.path / "b").write_bytes(b"")
    with pytest.raises(RecordError, match="nothing in a record is replaced"):
        folder.seal(sums=sums)


def test_whoever_was_killed_on_the_way_to_the_seal_is_followed_by_one_who_comes_to_the_same(folder: RunFolder) -> None:
    """A file made before the kill is the same file; what was left unfinished goes, and nothing else does."""
    folder.create("schema/a", b"x")
    assert folder.path / "schema/a" == folder.create("schema/a", b"x")
    unfinished = [folder.path / f".{number:016x}.new" for number in (1, 2)] + [
        folder.path / "schema" / f".{3:016x}.new"
    ]
    for path in unfinished:
        path.write_bytes(b"half")
    (folder.path / ".other.new").write_bytes(b"")
    sealed = folder.seal()
    os.link(folder.path / SUMS, unfinished[0])

    assert sealed == folder.seal()
    assert not any(path.exists() for path in unfinished)
    assert {".other.new", "schema/a", SUMS} == set(listing(folder.path))


def test_an_empty_run_is_sealed_too(folder: RunFolder) -> None:
    assert hashlib.sha256(b"").hexdigest() == folder.seal()


@pytest.mark.parametrize("kind", ["link", "link to a folder", "pipe"])
def test_what_is_no_regular_file_is_refused(folder: RunFolder, kind: str) -> None:
    folder.create("a", b"")
    if kind == "pipe":
        os.mkfifo(folder.path / "x")
    else:
        (folder.path / "x").symlink_to(folder.path / "a" if kind == "link" else folder.path)

    with pytest.raises(RecordError, match="no regular file"):
        folder.seal()


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../../b", "a//b", "a\nb", "a\tb", "a\x7f", "a\\b", "a/"])
def test_a_name_that_leads_elsewhere_or_that_sha256sum_would_escape_is_refused(folder: RunFolder, name: str) -> None:
    with pytest.raises(RecordError, match="no name"):
        folder.create(name, b"")


def test_what_no_verifier_would_read_again_is_refused(folder: RunFolder) -> None:
    folder.create("/".join("a" * stored_file.DEEPEST), b"")
    assert folder.seal()
    with pytest.raises(RecordError, match="more than 15 folders deep"):
        RunFolder(folder._store, f"{folder.run[:-4]}bbbb").create("/".join("a" * (stored_file.DEEPEST + 1)), b"")
    with pytest.raises(RecordError, match="has 67108865 bytes; a file of a run has 67108864 at most"):
        RunFolder(folder._store, f"{folder.run[:-4]}bbbb").create("a", bytes(stored_file.LARGEST["runs"] + 1))


def test_such_a_name_written_by_others_is_refused_at_the_seal(folder: RunFolder) -> None:
    folder.create("a", b"")
    (folder.path / "a\\b").write_bytes(b"")

    with pytest.raises(RecordError, match="a backslash in its name"):
        folder.seal()


def lay(folder: RunFolder, kind: str) -> None:
    place = os.fsencode(folder.path)
    match kind:
        case "a link":
            (folder.path / "x").symlink_to("/etc/passwd")
        case "a FIFO":
            os.mkfifo(place + b"/x")
        case "a file too large":
            os.close(os.open(place + b"/x", os.O_CREAT | os.O_WRONLY))
            os.truncate(place + b"/x", stored_file.LARGEST["runs"] + 1)
        case "a folder too deep":
            (folder.path / "/".join("d" * (stored_file.DEEPEST + 1))).mkdir(parents=True)
        case "a folder of a bad name":
            (folder.path / "a\nb").mkdir()
            (folder.path / "a\nb" / "c").touch()
        case "a folder that is no UTF-8":
            for name in (b"/\xff", b"/\xff/more"):
                Path(os.fsdecode(place + name)).mkdir()
                os.close(os.open(place + name + b"/file", os.O_CREAT))
        case _:
            os.close(os.open(place + b"/" + kind.encode("utf-8", "surrogateescape"), os.O_CREAT))


@pytest.mark.parametrize(
    "kind, said",
    [
        ("a\nb", "runs/{run}/a\\nb has a control character or a backslash in its name"),
        ("a\\b", "runs/{run}/a\\b has a control character or a backslash in its name"),
        ("a\udcffb", "runs/{run}/a%dcffb has a name that is no UTF-8"),
        ("a folder that is no UTF-8", "runs/{run}/%dcff has a name that is no UTF-8"),
        ("a link", "runs/{run}/x is no regular file"),
        ("a FIFO", "runs/{run}/x is no regular file"),
        ("a file too large", "runs/{run}/x has more than 67108864 bytes"),
        ("a folder too deep", "runs/{run}/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d lies more than 16 folders deep"),
        ("a folder of a bad name", "runs/{run}/a\\nb has a control character or a backslash in its name"),
    ],
)
def test_what_a_step_laid_there_by_hand_and_no_record_holds_is_set_aside_and_named(
    folder: RunFolder, tmp_path: Path, kind: str, said: str
) -> None:
    folder.create("a", b"")
    lay(folder, kind)

    (sentence,) = folder.set_aside()

    assert sentence == f"{said.format(run=RUN)}; it lies now at .set-aside/{RUN}/1 of the store"
    assert os.path.lexists(tmp_path / ".set-aside" / RUN / "1")
    assert folder.seal()
    assert set(listing(folder.path)) == {"a", SUMS}
    assert folder.set_aside() == ()
    lay(folder, kind)
    assert folder.set_aside()[0].endswith(f"/{RUN}/2 of the store")


def test_what_cannot_be_moved_is_said(folder: RunFolder, tmp_path: Path) -> None:
    folder.create("a", b"")
    (folder.path / "a\nb").touch()
    (tmp_path / ".set-aside").touch()

    with pytest.raises(StoreUnavailable, match=r"\.set-aside/.* cannot be written: is no folder"):
        folder.set_aside()


def test_nothing_is_set_aside_of_a_folder_that_can_be_sealed(folder: RunFolder) -> None:
    assert folder.set_aside() == ()
    folder.create("a", b"")
    (folder.path / "by hand").write_bytes(b"x")
    assert folder.set_aside() == ()
    assert folder.seal()


def test_a_run_that_is_no_run_makes_no_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no run"):
        RunFolder(FolderStore(tmp_path), "../../etc")


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")

    with pytest.raises(RecordTampered, match="runs is no folder"):
        RunFolder(FolderStore(tmp_path), RUN).create("a", b"")


def test_a_folder_that_is_a_link_is_not_written_to(tmp_path: Path) -> None:
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    (store / "runs").mkdir(parents=True)
    elsewhere.mkdir()
    (store / "runs" / RUN).symlink_to(elsewhere)

    run = RunFolder(FolderStore(store), RUN)
    acts: tuple[Callable[[], object], ...] = (lambda: run.create("a", b""), run.seal, run.set_aside)
    for act in acts:
        with pytest.raises(RecordTampered, match=f"{RUN} is a symbolic link"):
            act()
    assert not list(elsewhere.iterdir())


def test_a_listing_reads_files_in_pieces(folder: RunFolder) -> None:
    data = os.urandom((1 << 20) + 1)
    folder.create("big", data)

    assert {"big": hashlib.sha256(data).hexdigest()} == listing(folder.path)
