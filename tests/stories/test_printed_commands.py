"""The commands printed in the report of a real production run, signed by two, run as printed and notice what they should."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.stories.production import ProductionRecord
from tests.stories.tampered import Tampered, exchange, flip, swap_bytes
from tests.tools import needs
from tests.unit.report.parsed import parse

pytestmark = pytest.mark.skipif(
    find_spec("pytest_deploy.report.signatures") is None,
    reason="the report does not print the commands of signatures yet",
)


@dataclass(frozen=True)
class Kind:
    """One sort of printed command: by what it is known, what it says of a sound record, what it must notice."""

    known_by: str
    agrees: Callable[[subprocess.CompletedProcess[str]], bool]
    tampering: Callable[[Tampered, str], None]


def _edit_event(it: Tampered, _command: str) -> None:
    swap_bytes(it.event("gate.refused"), b'"verdict":"refused"', b'"verdict":"allowed"')


def _spoil_newest_root(it: Tampered, _command: str) -> None:
    path = it.at(it.size - 1)
    flip(path, path.read_bytes().rindex(b"\n\n") - 10)


def _rewrite(it: Tampered, _command: str) -> None:
    """By the log's own key: every checkpoint from the refused gate on is another."""
    begun = it.seq("gate.refused")
    for seq in range(begun, it.size):
        it.forge(seq, it.insider(), **({"id": "0" * 16} if seq == begun else {}))


def _alter_the_signed(it: Tampered, command: str) -> None:
    (path,) = (path for path in it.approvals() if path.name in command)
    swap_bytes(path, b'"meaning":"', b'"meaning":"not ')


KINDS: Mapping[str, Kind] = {
    "the files of the run": Kind(
        "sha256sum --strict -c SHA256SUMS",
        lambda done: done.returncode == 0 and {"OK"} == {line.rpartition(": ")[2] for line in done.stdout.splitlines()},
        lambda it, _: flip(it.file("report.html"), 2000),
    ),
    "the list of files": Kind(
        '"record_sha256"',
        lambda done: f'"record_sha256":"{done.stdout.split()[0]}"' == done.stdout.splitlines()[-1],
        lambda it, _: flip(it.file("SHA256SUMS"), 0),
    ),
    "the chain": Kind("BROKEN", lambda done: (done.returncode, done.stdout) == (0, ""), _edit_event),
    "the log's signature": Kind(
        "openssl pkeyutl",
        lambda done: done.returncode == 0 and "Signature Verified Successfully" in done.stdout,
        _spoil_newest_root,
    ),
    "the log it was rendered from": Kind("grep -cxF", lambda done: done.stdout == "1\n", _rewrite),
    "a signature": Kind(
        "ssh-keygen -Y verify",
        lambda done: done.returncode == 0 and done.stdout.startswith('Good "deploy-approval@'),
        _alter_the_signed,
    ),
}


def kind_of(command: str) -> Kind:
    (kind,) = (kind for kind in KINDS.values() if kind.known_by in command)
    return kind


def printed(production: ProductionRecord) -> list[str]:
    page = (production.store / "runs" / production.run / "report.html").read_text(encoding="utf-8")
    return [pre.text for pre in parse(page).all("pre", class_="command")]


def run(store: Path, command: str) -> subprocess.CompletedProcess[str]:
    """In a bash of its own, with nothing set but where programs are, and where the keys lie that came by another way."""
    needs("openssl")
    needs("ssh-keygen")
    trust = store.parent / "keys that came by another way"
    if not trust.exists():
        shutil.copytree(store / "trust", trust)
    return subprocess.run(
        ["env", "-i", f"PATH={os.environ['PATH']}", f"TRUST={trust}", "bash", "-eu", "-o", "pipefail", "-c", command],
        cwd=store,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_each_runs_as_printed_and_agrees_with_the_record(production: ProductionRecord, tmp_path: Path) -> None:
    it = Tampered.copy(production, tmp_path / "inspected")
    commands = printed(production)

    for command in commands:
        done = run(it.store, command)
        assert done.stderr == "", done
        assert kind_of(command).agrees(done), done
    assert {id(kind) for kind in KINDS.values()} == {id(kind_of(command)) for command in commands}
    assert 2 == sum(kind_of(command) is KINDS["a signature"] for command in commands)


def test_each_notices_what_it_is_there_for(production: ProductionRecord, tmp_path: Path) -> None:
    for number, command in enumerate(printed(production)):
        it = Tampered.copy(production, tmp_path / f"{number}" / "inspected")
        kind = kind_of(command)
        kind.tampering(it, command)
        assert not kind.agrees(run(it.store, command)), command


def test_a_signature_swapped_for_another_persons_is_noticed(production: ProductionRecord, tmp_path: Path) -> None:
    it = Tampered.copy(production, tmp_path / "inspected")
    one, other = it.approvals()
    exchange(Path(f"{one}.sig"), Path(f"{other}.sig"))

    for command in printed(production):
        if kind_of(command) is KINDS["a signature"]:
            assert run(it.store, command).returncode != 0
