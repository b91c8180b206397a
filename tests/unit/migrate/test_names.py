"""Versions are numbers without gap or timestamps; what comes late gets another one, and nothing is overwritten."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_deploy.migrate.names import NamedFile, is_timestamp, named_files, next_versions, rename, renumbered

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)


def folder_of(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def after(folder: Path, *applied: str) -> list[str]:
    """The folder's files once it was renumbered, the applied ones given by name."""
    files = {int(name.split("_")[0]): folder / name for name in applied}
    rename(renumbered(folder, files, NOW))
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.sql"))


@pytest.mark.parametrize(
    "known, expected",
    [
        ((), ("0001", "0002")),
        (("001", "002"), ("003", "004")),
        (("0009",), ("0010", "0011")),
        (("20240102030405",), ("20261130090000", "20261130090001")),
        (("0007", "20240102030405"), ("20261130090000", "20261130090001")),
        (("20990101000000",), ("20990101000001", "20990101000002")),
    ],
    ids=["none", "three digits", "four digits", "timestamps", "both kinds", "a timestamp of the future"],
)
def test_the_next_version_is_of_the_folders_kind(known: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert next_versions(known, NOW, 2) == expected


@pytest.mark.parametrize(
    "version, expected", [("0001", False), ("00000001", False), ("20240102", True), ("1704164645", True)]
)
def test_a_timestamp_is_told_from_a_number(version: str, *, expected: bool) -> None:
    assert is_timestamp(version) is expected


def test_a_file_that_comes_late_goes_to_the_end(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "0001_a.sql", "0002_b.sql", "0002_mine.sql", "0003_c.sql")
    assert after(folder, "0001_a.sql", "0002_b.sql") == ["0001_a.sql", "0002_b.sql", "0003_c.sql", "0004_mine.sql"]


def test_a_late_timestamp_becomes_a_new_one(tmp_path: Path) -> None:
    names = ("20240101000000_a.sql", "20240201000000_late.sql", "20240301000000_b.sql", "20240401000000_next.sql")
    assert after(folder_of(tmp_path, *names), names[0], names[2]) == [
        names[0],
        names[2],
        names[3],
        "20261130090000_late.sql",
    ]


def test_numbers_close_up_and_two_of_one_number_are_parted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "0001_a.sql", "0003_b.sql", "0003_c.sql", "0005_d.sql")
    assert after(folder, "0001_a.sql") == ["0001_a.sql", "0002_b.sql", "0003_d.sql", "0004_c.sql"]


def test_a_pairs_way_down_goes_with_its_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "001_a.sql", "rollback/001_rollback.sql", "003_b.sql", "rollback/003_rollback.sql")
    assert after(folder, "001_a.sql") == [
        "001_a.sql",
        "002_b.sql",
        "rollback/001_rollback.sql",
        "rollback/002_rollback.sql",
    ]
    assert (folder / "rollback/002_rollback.sql").read_text(encoding="utf-8") == "rollback/003_rollback.sql"


def test_what_is_in_place_stays(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "0001_a.sql", "0002_b.sql", "20240101000000_c.sql")
    assert renumbered(folder, {1: folder / "0001_a.sql"}, NOW) == ()
    assert renumbered(folder_of(tmp_path / "empty"), {}, NOW) == ()


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "0001_a.sql", "0003_b.sql")
    renames = renumbered(folder, {1: folder / "0001_a.sql"}, NOW)
    folder_of(tmp_path, "0002_b.sql")
    with pytest.raises(FileExistsError):
        rename(renames)
    assert [file.path.read_text(encoding="utf-8") for file in named_files(folder)] == [
        "0001_a.sql",
        "0002_b.sql",
        "0003_b.sql",
    ]


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    stamps=st.sets(st.integers(20240101000000, 20240101000009), max_size=3),
    applied=st.integers(0, 8),
)
def test_whatever_lies_there_is_in_order_afterwards_and_nothing_is_lost(
    numbers: list[int], stamps: set[int], applied: int
) -> None:
    names = [f"{number:04d}_f{at}.sql" for at, number in enumerate(numbers)] + [f"{stamp}_s.sql" for stamp in stamps]
    with tempfile.TemporaryDirectory() as place:
        folder = folder_of(Path(place), *names)
        done: dict[int, Path | None] = {}
        for file in named_files(folder)[:applied]:
            done.setdefault(file.number, file.path)
        rename(renumbered(folder, done, NOW))
        files = named_files(folder)
        assert sorted(file.path.read_text(encoding="utf-8") for file in files) == sorted(names)
        assert len({file.number for file in files}) == len(files)
        assert {path for path in done.values() if path is not None} <= {file.path for file in files}
        open_files = [file for file in files if file.path not in done.values()]
        assert all(file.number > max(done, default=0) for file in open_files)
        assert renumbered(folder, done, NOW) == ()
        _has_no_gap_after(max(done, default=0), open_files)


def _has_no_gap_after(newest: int, files: list[NamedFile]) -> None:
    numbers = [file.number for file in files if not is_timestamp(file.version)]
    if not is_timestamp(str(newest)):
        assert numbers == list(range(newest + 1, newest + 1 + len(numbers)))
