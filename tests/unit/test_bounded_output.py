"""What comes from outside is kept within a limit, with its length and digest; a program's flood costs no more than that."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.bounded_output import Keeper, kept, kept_text, run_bounded


@given(st.lists(st.binary(max_size=300)), st.integers(min_value=0, max_value=200))
def test_beginning_and_end_are_kept_within_the_limit_and_all_of_it_is_counted_and_digested(
    chunks: list[bytes], limit: int
) -> None:
    keeper = Keeper(limit)
    for chunk in chunks:
        keeper.add(chunk)
    whole, found = b"".join(chunks), keeper.kept()

    assert (found.length, found.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert len(found.head) + len(found.tail) == min(limit, len(whole))
    assert whole.startswith(found.head)
    assert whole.endswith(found.tail)
    assert found.cut == (len(whole) > limit)
    assert found == kept(whole, limit)


def test_what_was_cut_is_said_between_dots() -> None:
    digest = hashlib.sha256(b"abcdefgh").hexdigest()

    assert kept(b"abcdefgh", 4).text == f"ab… [4 of 8 bytes cut; SHA-256 of all: {digest}] …gh"
    assert kept(b"abcdefgh", 8).text == kept_text("abcdefgh", 8) == "abcdefgh"
    assert kept_text("ü" * 8, 8).startswith("üü… [8 of 16 bytes cut")


def test_a_program_is_read_as_it_ends(tmp_path: Path) -> None:
    program = "import os, sys; print(os.getcwd(), os.environ['A']); print('ill', file=sys.stderr); sys.exit(3)"

    ran = run_bounded([sys.executable, "-c", program], cwd=tmp_path, env={"A": "one"}, timeout_s=20)

    assert (ran.code, ran.stdout.text, ran.stderr.text) == (3, f"{tmp_path.resolve()} one\n", "ill\n")


def test_200_mb_without_a_line_break_cost_no_memory() -> None:
    program = "import sys\nfor _ in range(200): sys.stdout.write('x' * 1_000_000)"
    asked = (
        "import pathlib, re, sys\n"
        "from pytest_deploy.bounded_output import run_bounded\n"
        f"ran = run_bounded([sys.executable, '-c', {program!r}], timeout_s=60)\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1]\n"
        "print(ran.stdout.length, len(ran.stdout.text), peak)"
    )

    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=120)

    length, left, kib = map(int, told.stdout.split())
    assert length == 200_000_000
    assert 1_000_000 <= left < 1_000_300
    assert kib < 60_000


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", "while True: print('x' * 10_000)"])
def test_a_program_that_does_not_end_is_killed(program: str, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    words = f"import os, pathlib; pathlib.Path({str(told)!r}).write_text(str(os.getpid()))\n{program}"
    began = time.monotonic()

    with pytest.raises(subprocess.TimeoutExpired, match=re.escape("after 1.5 seconds")):
        run_bounded([sys.executable, "-c", words], timeout_s=1.5)

    assert time.monotonic() - began < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        run_bounded(["/nowhere/at/all"], timeout_s=5)
