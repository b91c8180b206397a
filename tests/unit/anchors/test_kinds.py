from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_deploy.anchors.kinds import Copies, Lines, file_name
from pytest_deploy.errors import AnchorUnavailable, StoreUnavailable
from pytest_deploy.record.log import Log
from pytest_deploy.record.store import FolderStore
from tests.unit.anchors.signed_checkpoints import two
from tests.unit.record.sample_record import open_log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return open_log(tmp_path / "record")


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path / "outbox" / "local.lines", "outbox/local.lines")


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    return Copies(FolderStore(tmp_path / "elsewhere"), "elsewhere")


def test_a_place_that_was_told_nothing_knows_nothing(lines: Lines, copies: Copies) -> None:
    assert (lines.known(), lines.newest(), copies.known(), copies.newest()) == ((), None, (), None)


def test_each_place_knows_what_it_was_told_newest_last(log: Log, lines: Lines, copies: Copies) -> None:
    first, second = two(log)
    for place in (lines, copies):
        place.make(first)
        place.make(second)

        assert place.known() == (first.checkpoint, second.checkpoint)
        assert place.newest() == second.checkpoint


def test_telling_it_again_is_no_change(log: Log, lines: Lines, copies: Copies) -> None:
    signed = log.signed()
    for place in (lines, copies):
        assert place.make(signed) == place.make(signed)
        assert len(place.known()) == 1


def test_a_line_is_the_one_that_people_keep(log: Log, lines: Lines, tmp_path: Path) -> None:
    assert lines.make(log.signed()) == {"receipt": log.checkpoint()}
    assert (tmp_path / "outbox" / "local.lines").read_text() == f"{log.checkpoint()}\n"


def test_a_copy_is_the_signed_checkpoint_under_its_size(log: Log, copies: Copies, tmp_path: Path) -> None:
    signed = log.signed()
    copies.make(signed)

    assert (tmp_path / "elsewhere" / file_name(signed)).read_text() == signed.text


def test_a_place_that_cannot_be_written_or_read_is_unavailable(log: Log, tmp_path: Path) -> None:
    """A file lies where its folder should."""
    (tmp_path / "outbox").write_text("no folder")
    lines = Lines(tmp_path / "outbox" / "local.lines", "outbox/local.lines")
    copies = Copies(FolderStore(tmp_path / "outbox"), "outbox")

    for place in (lines, copies):
        with pytest.raises(AnchorUnavailable, match=r"cannot be (written|read)"):
            place.make(log.signed())


@pytest.mark.parametrize("ask", [Copies.known, Copies.newest])
def test_a_second_place_that_does_not_answer_is_unavailable_and_not_empty(
    tmp_path: Path, ask: Callable[[Copies], object]
) -> None:
    """No anchor and no answer are not the same: what is required must be read back."""

    class Silent(FolderStore):
        def names(self, prefix: str) -> Iterator[str]:
            raise StoreUnavailable(f"{prefix}: no answer")

    with pytest.raises(AnchorUnavailable, match="no answer"):
        ask(Copies(Silent(tmp_path), "elsewhere"))


def test_a_copy_of_another_record_of_this_size_is_never_replaced(log: Log, copies: Copies, tmp_path: Path) -> None:
    other = open_log(tmp_path / "other").signed()
    copies.make(other)

    with pytest.raises(AnchorUnavailable, match="holds another checkpoint of this size: the record was rewritten"):
        copies.make(log.signed())
    assert copies.newest() == other.checkpoint


@pytest.mark.parametrize("text", ["noise", "tlog x 1 y\n", "\n"])
def test_what_is_no_line_blocks(lines: Lines, tmp_path: Path, text: str) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "local.lines").write_text(text)

    with pytest.raises(AnchorUnavailable, match="is no anchor"):
        lines.known()


def test_what_is_no_text_blocks(lines: Lines, tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "local.lines").write_bytes(b"\xff\n")

    with pytest.raises(AnchorUnavailable, match="is no anchor: tlog <origin> <size> <root> is; somebody wrote into it"):
        lines.known()


def test_what_is_no_checkpoint_or_lies_under_another_size_blocks(log: Log, copies: Copies, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere" / "anchors"
    folder.mkdir(parents=True)
    (folder / "00000007.checkpoint").write_text(log.signed().text)
    with pytest.raises(AnchorUnavailable, match="holds the checkpoint of 1 events"):
        copies.newest()

    (folder / "00000007.checkpoint").write_bytes(b"\xff")
    with pytest.raises(AnchorUnavailable, match="is no signed checkpoint"):
        copies.known()


def test_a_place_that_cannot_be_written_or_read_says_so(log: Log, lines: Lines, copies: Copies, tmp_path: Path) -> None:
    for name in ("outbox", "elsewhere"):
        (tmp_path / name).write_text("")
    with pytest.raises(AnchorUnavailable, match=r"outbox/local.lines cannot be read"):
        lines.make(log.signed())
    with pytest.raises(AnchorUnavailable, match="cannot be written"):
        copies.make(log.signed())

    (tmp_path / "outbox").unlink()
    (tmp_path / "outbox" / "local.lines").mkdir(parents=True)
    with pytest.raises(AnchorUnavailable, match="cannot be read"):
        lines.known()
