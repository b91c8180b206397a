"""The end of a log: read from the end, cut beside dots, nothing that a terminal would obey."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytest_deploy.platform.embedded.places import tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "one.log"


def test_the_last_lines_are_told_in_their_order(log: Path) -> None:
    log.write_text("".join(f"line {n}\n" for n in range(50)), encoding="utf-8")

    assert tail(log, 3) == "line 47\nline 48\nline 49"


def test_a_log_that_is_not_there_says_nothing(log: Path) -> None:
    assert tail(log, 3) == ""


def test_of_a_large_log_only_the_end_is_read(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(4 << 30)
        file.seek(0, 2)
        file.write(b"\nlast but one\nlast\n")

    began = time.monotonic()
    assert tail(log, 2) == "last but one\nlast"
    assert time.monotonic() - began < 1


def test_what_is_cut_is_cut_beside_dots_so_that_a_part_of_a_secret_is_known(log: Path) -> None:
    log.write_text("x" * 100_000 + "\n" + "y" * 400 + "\n", encoding="utf-8")

    first, second = tail(log, 2).splitlines()

    assert first == f"…{'x' * 299}…"
    assert second == f"{'y' * 300}…"


def test_nothing_is_left_that_a_terminal_would_obey(log: Path) -> None:
    log.write_bytes(b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x00 caf\xe9\ttab\n")

    assert tail(log, 1) == "red ]0;title  caf\ufffd\ttab"


def test_200_mb_without_a_line_break_are_one_short_line(log: Path) -> None:
    with log.open("wb") as file:
        for _ in range(200):
            file.write(b"x" * 1_000_000)

    assert tail(log, 40) == f"…{'x' * 299}…"
