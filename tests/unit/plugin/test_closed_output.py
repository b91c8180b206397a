"""A reader that is gone: every copy of the descriptor leads nowhere, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_deploy.plugin.closed_output import identity, redirect_to_devnull
from pytest_deploy.plugin.redaction import Terminal


@pytest.fixture
def gone() -> int:
    """The writing end of a pipe whose reader is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_every_copy_of_a_dead_pipe_leads_nowhere(gone: int, tmp_path: Path) -> None:
    copy, other = os.dup(gone), os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    stays = identity(other)

    redirect_to_devnull(gone)

    assert [os.write(one, b"x") for one in (gone, copy)] == [1, 1]
    assert identity(other) == stays
    for one in (gone, copy, other):
        os.close(one)


def test_a_closed_descriptor_is_taken_so_that_no_file_gets_its_number(gone: int, tmp_path: Path) -> None:
    os.close(gone)

    redirect_to_devnull(gone)

    opened = os.open(tmp_path / "a file of the record", os.O_WRONLY | os.O_CREAT)
    assert opened != gone
    assert os.write(gone, b"words for a terminal") > 0
    os.close(opened)
    os.close(gone)
    assert (tmp_path / "a file of the record").read_bytes() == b""


def test_the_terminal_goes_on_without_its_reader(gone: int) -> None:
    terminal = Terminal(str.upper)
    with os.fdopen(gone, "w", encoding="utf-8") as file:
        terminal._file = file
        terminal.write("one")
        terminal.flush()
        terminal.write("two")
        terminal.flush()

    assert terminal.encoding is not None


def test_the_terminal_goes_on_without_its_file(tmp_path: Path) -> None:
    terminal = Terminal(str.upper)
    with (tmp_path / "said").open("w", encoding="utf-8") as file:
        terminal._file = file
        terminal.write("one")
    terminal.write("two")
    terminal.flush()

    assert (tmp_path / "said").read_text(encoding="utf-8") == "ONE"
