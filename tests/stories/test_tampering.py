"""A real production record, tampered with in every way we know: both verifiers refuse it and name the file.

They say what docs/tampering.md says they say. Untampered, it verifies in a clean folder in 2033, when every key has expired.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_deploy.cli import app
from tests.project_checkout import REPOSITORY
from tests.required_programs import needs
from tests.stories.production_record import ProductionRecord
from tests.stories.tampered_record import TamperedRecord
from tests.stories.tampering_catalog import KINDS, UNSEEN

DOCUMENT = REPOSITORY / "docs" / "tampering.md"
LET_PASS = "## What is let pass"
SAMPLE = random.Random(6).sample(sorted(KINDS), 6)  # noqa: S311 - a choice, no secret
"""Shown in every run; `make faults` shows all."""


def documented() -> dict[str, tuple[str, str]]:
    """Kind -> what deploy.py verify and verify.sh say, as docs/tampering.md has it."""
    caught = DOCUMENT.read_text(encoding="utf-8").partition(LET_PASS)[0]
    rows = re.findall(r"^\| ([^|]+) \| `([^|]+)` \| `([^|]+)` \|$", caught, re.MULTILINE)
    return {kind.strip(): (ours, theirs) for kind, ours, theirs in rows}


def ours(store: Path, anchor: str | None = None) -> tuple[bool, str]:
    """Whether `deploy.py verify` verified, and the first thing it found, or its last line."""
    words = ["verify", str(store), *(["--anchor", anchor] if anchor else [])]
    done = CliRunner().invoke(app, words)
    assert done.exit_code in {0, 1}, done
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("VERIFIED" if done.exit_code == 0 else "NOT VERIFIED"), done.stdout
    found = [line.strip() for line in lines if line.startswith("     ")]
    return done.exit_code == 0, (found or lines[-1:])[0]


def theirs(store: Path, anchor: str | None = None, *before: str) -> tuple[bool, str]:
    """The same of a verify.sh that the store did not bring."""
    needs("openssl")
    needs("ssh-keygen")
    script = REPOSITORY / "pytest_deploy" / "verify" / "verify.sh"
    words = [*before, "bash", str(script), str(store), *(["--anchor", anchor] if anchor else [])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) in {(0, ""), (1, "")}, done
    return done.returncode == 0, done.stdout.splitlines()[-1].removeprefix("NOT VERIFIED: ")


def in_general(said: str) -> str:
    """What differs from record to record, by its name: N for numbers, RUN, SET, ROLE and so on."""
    for pattern, name in (
        (r"legal now: .*", "legal now: …"),
        (r"rehearsal-production-\d{8}T\d{6}Z-[0-9a-f]{4}", "RUN"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
        (r"\S+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44}", "KEY"),
        (r"trust/[0-9a-f]{16}", "trust/SET"),
        (r"(qa|tech)-lead-[0-9a-f]{8}", "ROLE"),
        (r"(amend-\d+-reason|note-\d+|deviation-[a-z0-9-]+|accomplice)-[0-9a-f]{8}", "STATEMENT"),
        (r"\b[0-9a-f]{64}\b", "DIGEST"),
        (r"(pytest_deploy/)?suites/\S+::\w+", "STEP"),
        (r"\\[0-7]{3}", r"\\N"),
        (r"(?<!SHA-)(?<![A-Za-z\\\d])\d+", "N"),
    ):
        said = re.sub(pattern, name, said)
    return said


def test_the_document_lists_what_is_tried() -> None:
    passed = DOCUMENT.read_text(encoding="utf-8").partition(LET_PASS)[2]
    rows = [
        line.split(" | ")[0].removeprefix("| ")
        for line in passed.partition("\n## ")[0].splitlines()
        if line.startswith("| ")
    ]
    let_pass = rows[1:]  # without the heading

    assert len(KINDS) > 80
    assert list(KINDS) == list(documented())
    assert list(UNSEEN) == let_pass


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in SAMPLE else pytest.mark.faults) for kind in KINDS]
)
def test_both_verifiers_refuse_it_and_name_the_file(production: ProductionRecord, tmp_path: Path, kind: str) -> None:
    it = TamperedRecord.copy(production, tmp_path / "inspected")
    KINDS[kind](it)

    our, their = ours(it.store, it.anchor), theirs(it.store, it.anchor)

    assert (our[0], their[0]) == (False, False)
    for said, named in ((our[1], it.named), (their[1], it.named_by_script or it.named)):
        assert plain(said).startswith(f"{plain(named)}: "), (said, named)
    assert documented()[kind] == (in_general(our[1]), in_general(their[1]))


def plain(text: str) -> str:
    """Without what an escape of either kind stands for."""
    return re.sub(r"\$'|'(?=: |$)|\\[0-7]{3}|\\u[0-9a-f]{4}|\\n|[^ -~]|\n|\\\?|\\", "", text)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.faults) for kind in UNSEEN])
def test_both_verifiers_let_it_pass_and_the_document_says_why(
    production: ProductionRecord, tmp_path: Path, kind: str
) -> None:
    it = TamperedRecord.copy(production, tmp_path / "inspected")
    untouched = notes(it.store)
    UNSEEN[kind](it)

    assert (ours(it.store)[0], theirs(it.store)[0]) == (True, True)
    (row,) = (line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {kind} | "))
    told = row.split(" | ")[1].strip("`")
    fresh = [in_general(note) for note in notes(it.store) if note not in untouched and "the log's own key" not in note]
    assert fresh == ([] if told == "nothing" else [told])


def notes(store: Path) -> list[str]:
    """What `deploy.py verify` notes."""
    done = CliRunner().invoke(app, ["verify", str(store)])
    return [line.removeprefix("note ") for line in done.stdout.splitlines() if line.startswith("note ")]


def test_the_untampered_record_verifies_with_the_anchor_that_was_kept(production: ProductionRecord) -> None:
    assert ours(production.store, production.anchor)[0]
    assert theirs(production.store, production.anchor)[0]


def test_in_2033_a_copy_in_a_clean_folder_verifies_though_every_key_has_expired(
    production: ProductionRecord, tmp_path: Path
) -> None:
    needs("faketime")
    store = tmp_path / "a clean folder" / "production"
    shutil.copytree(production.store, store)
    in_2033 = ("faketime", "2033-11-01 12:00:00")
    clean = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*in_2033, *words], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=120, check=False
        )

    assert run("date", "+%Y").stdout == "2033\n"
    (approval, _) = sorted((store / "runs").glob("*/approvals/*.json.sig"))
    today = ("ssh-keygen", "-Y", "find-principals", "-f", str(store / "trust" / "allowed_signers"), "-s", str(approval))
    assert subprocess.run(today, capture_output=True, timeout=30, check=False).returncode == 0
    assert run(*today).returncode != 0, "no key has expired by then: nothing is shown"
    script = run("bash", str(store / "verify.sh"), "--anchor", production.anchor)
    assert script.returncode == 0, script.stdout + script.stderr
    command = run(sys.executable, str(REPOSITORY / "deploy.py"), "verify", str(store), "--anchor", production.anchor)
    assert command.returncode == 0, command.stdout + command.stderr
    assert "2 signatures" in command.stdout
