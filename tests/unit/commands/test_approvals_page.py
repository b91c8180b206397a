"""docs/approvals.md is a walk-through: each of its commands runs, in its order, and leaves what it says."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from typer.testing import CliRunner

from pytest_deploy.cli import app
from tests.unit.sample_environment import REPOSITORY

PAGE = (REPOSITORY / "docs" / "approvals.md").read_text(encoding="utf-8")
AUGUST = f"{datetime.now(UTC).year + 1}-08"
"""The one that the page's deputy is enrolled for, whenever this runs."""
KEYS = ("ada", "ben", "eva", "quinn", "quinn-new", "tina", "dee")


def test_every_command_of_the_page_runs_in_its_order(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "deploy.yaml", tmp_path)
    for name in KEYS:
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(words, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    commands = re.findall(r"^    python deploy\.py (.+?)(?: +# .*)?$", PAGE, re.MULTILINE)
    printed: dict[str, str] = {}
    trust_root = listed = ""

    with contextlib.chdir(tmp_path):
        for command in commands:
            if "--new-record" in command:
                listed = CliRunner().invoke(app, ["keys", "list", "local"]).output
                shutil.move("reports/local", "the record before")
            if " revoke " in f" {command} ":
                time.sleep(1)  # a key is good for whole seconds, one at the least
            words = [
                trust_root if word == "3f0c…" else word.replace("2026-08", AUGUST) for word in shlex.split(command)
            ]
            # Who reads the page answers at their terminal.
            asked = [] if "--show" in words or words[:2] not in (["keys", "sign"], ["keys", "pledge"]) else ["--yes"]
            result = CliRunner().invoke(app, [*words, *asked])
            assert result.exit_code == 0, (command, result.output, result.exception)
            printed[command] = result.output
            if found := re.search(r"^root      ([0-9a-f]{64})$", result.output, re.MULTILINE):
                trust_root = found[1]

    assert len(commands) >= 20
    assert f"root      {trust_root}" in listed
    assert "roster    number 7, until" in listed
    assert re.search(
        rf"^          SHA256:\S+ {AUGUST}-01 to {AUGUST}-15 00:00 UTC, not valid now$", listed, re.MULTILINE
    )
    assert "VERIFIED" in printed["verify reports/local --trust-root 3f0c…"]
    assert [line for line in listed.splitlines() if line.startswith("waits")] == []
    assert b'"reason":"begun anew: OPS-60: ' in (tmp_path / "reports/local/log/00000000.event").read_bytes()
    assert {"Dee Deputy", "Quinn Quist", "Tina Tanaka"} <= set(re.findall(r"^person    (.+?) <", listed, re.MULTILINE))
