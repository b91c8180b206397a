"""A tracker's program says which incidents there are; what it does not say as it must blocks."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_deploy.gates.incidents import Incident, IncidentCommand
from pytest_deploy.gates.verdict import Unavailable

OPENED = datetime(2026, 11, 22, 20, 25, 7, tzinfo=UTC)


def prints(text: str, folder: Path, *, timeout_s: float = 20.0) -> object:
    return IncidentCommand([sys.executable, "-c", f"print({text!r})"], folder, timeout_s).read()


def test_what_the_program_prints_is_what_is_known(tmp_path: Path) -> None:
    said = [{"id": "INC-7", "severity": "critical", "opened": "2026-11-22T15:25:07-05:00", "closed": None, "url": "u"}]

    assert [Incident("INC-7", "critical", OPENED, None, "u")] == prints(json.dumps(said), tmp_path)
    assert prints("[]", tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no incidents",
        "{}x",
        "7",
        "[7]",
        '[{"id": "INC-7"}]',
        '[{"id": "INC-7", "severity": "critical", "opened": "yesterday"}]',
        '[{"id": "INC-7", "severity": "critical", "opened": "2026-11-22T20:25:07"}]',
    ],
)
def test_what_is_no_list_of_incidents_is_not_taken_for_none(tmp_path: Path, text: str) -> None:
    said = prints(text, tmp_path)

    assert isinstance(said, Unavailable)
    assert "did not print a list like" in said.problem


def test_a_program_that_fails_hangs_or_is_not_there_is_no_answer(tmp_path: Path) -> None:
    failing = IncidentCommand([sys.executable, "-c", "raise SystemExit('no route')"], tmp_path, 20).read()
    hanging = IncidentCommand([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, 0.5).read()
    missing = IncidentCommand(["no-such-tracker"], tmp_path, 20).read()

    assert [isinstance(one, Unavailable) for one in (failing, hanging, missing)] == [True] * 3
    problems = [one.problem for one in (failing, hanging, missing) if isinstance(one, Unavailable)]
    assert "failed with 1: no route" in problems[0]
    assert "gave no answer in 0.5 s" in problems[1]
    assert "no-such-tracker cannot be run: No such file" in problems[2]


def test_a_flood_of_incidents_blocks_with_its_length_and_digest(tmp_path: Path) -> None:
    blocked = IncidentCommand([sys.executable, "-c", "print('[' + ' ' * 5_000_000 + ']')"], tmp_path, 20).read()

    assert isinstance(blocked, Unavailable)
    assert "printed 5,000,003 bytes (SHA-256 " in blocked.problem


def test_the_last_words_of_a_program_that_failed_are_cut(tmp_path: Path) -> None:
    blocked = IncidentCommand([sys.executable, "-c", "import sys; sys.exit('x' * 3_000_000)"], tmp_path, 20).read()

    assert isinstance(blocked, Unavailable)
    assert len(blocked.problem) < 3_000
    assert "bytes cut; SHA-256 of all: " in blocked.problem
