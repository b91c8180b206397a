"""Where the embedded platform keeps its things: what cannot be made is told in one line, with what to do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.embedded.places import ROOT_VARIABLE, Places
from tests.memory import short_parent


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir=short_parent()) as folder:
        yield Path(folder)


def test_both_folders_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(short_parent()))
    places = Places.of(tmp_path)

    places.make()
    places.make()

    assert places.deploy.is_dir()
    places.root.rmdir()


@pytest.mark.parametrize(
    "parent, said",
    [
        (
            "gone",
            "gone/pytest-deploy-.* cannot be made: No such file or directory; let this user write to .*/gone, or ",
        ),
        ("file", "file/pytest-deploy-.* cannot be made: Not a directory; "),
        ("x" * 100, "is too long a path for a socket; "),
    ],
)
def test_a_parent_that_will_not_do_is_named_with_its_variable(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch, parent: str, said: str
) -> None:
    (short / "file").touch()
    monkeypatch.setenv(ROOT_VARIABLE, str(short / parent))

    with pytest.raises(PlatformUnavailable, match=f"{said}.*{ROOT_VARIABLE}"):
        Places.of(tmp_path).make()


def test_a_parent_that_every_folder_takes_for_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, ".")

    with pytest.raises(PlatformUnavailable, match=f"{ROOT_VARIABLE}=.: right is a whole path"):
        Places.of(tmp_path).make()


def test_a_checkout_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(short_parent()))
    (tmp_path / ".deploy").touch()

    with pytest.raises(PlatformUnavailable, match=r"\.deploy cannot be made: File exists; .*write to the checkout"):
        Places.of(tmp_path).make()
