"""The commands printed in the report of a real production run, signed by two, run as printed and notice what they should.

What a rehearsal asks nobody for is added to the record as production does it: timestamps by a real authority.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pytest_deploy.anchors.kinds import TimestampAuthority, file_name
from pytest_deploy.approvals.enrollment import trust_authority
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.events import parse as content_of
from pytest_deploy.record.log_entry import parse
from pytest_deploy.record.open_record import open_record
from pytest_deploy.record.store import FolderStore
from pytest_deploy.reports.export import Export
from pytest_deploy.verify.verify import verify
from tests import timestamp_authority
from tests.printed_commands import commands_in, fault_of
from tests.required_programs import needs
from tests.stories.production_record import ProductionRecord
from tests.stories.tampered_record import TamperedRecord, exchange, flip, swap_bytes
from tests.unit.reports.parsed_page import parse as parse_page


@dataclass(frozen=True)
class Kind:
    """One sort of printed command: by what it is known, what it says of a sound record, what it must notice."""

    known_by: str
    agrees: Callable[[subprocess.CompletedProcess[str]], bool]
    tampering: Callable[[TamperedRecord, str], None]


def _edit_event(it: TamperedRecord, _command: str) -> None:
    swap_bytes(it.event("gate.refused"), b'"reason":"', b'"reason":"no ')


def _spoil_newest_root(it: TamperedRecord, _command: str) -> None:
    path = it.at(it.size - 1)
    flip(path, path.read_bytes().rindex(b"\n\n") - 10)


def _rewrite(it: TamperedRecord, _command: str) -> None:
    """By the log's own key: every checkpoint from the refused gate on is another."""
    begun = it.seq("gate.refused")
    for seq in range(begun, it.size):
        it.forge(seq, it.insider(), **({"id": "0" * 16} if seq == begun else {}))


def _alter_the_signed(it: TamperedRecord, command: str) -> None:
    (path,) = (path for path in it.approvals() if path.name in command)
    swap_bytes(path, b'"meaning":"', b'"meaning":"not ')


def _swap_stamps(it: TamperedRecord, _command: str) -> None:
    """Both are sound, each beside the other's checkpoint."""
    exchange(*sorted((it.store / "anchors").glob("*.tsr")))


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
    "the timestamps": Kind(
        "openssl ts -verify",
        lambda done: (
            (done.returncode, [line.split(": ")[0].split("/")[1] for line in done.stdout.splitlines()])
            == (0, [f"{size:08d}.tsr holds" for size in STAMPED])
        ),
        _swap_stamps,
    ),
}
STAMPED: list[int] = []
"""The sizes at which the authority stamped the record."""


def kind_of(command: str) -> Kind:
    (kind,) = (kind for kind in KINDS.values() if kind.known_by in command)
    return kind


def printed(production: ProductionRecord) -> list[str]:
    page = (production.store / "runs" / production.run / "report.html").read_text(encoding="utf-8")
    return [pre.text for pre in parse_page(page).all("pre", class_="command")]


def the_timestamps(production: ProductionRecord) -> str:
    (command,) = (command for command in printed(production) if kind_of(command) is KINDS["the timestamps"])
    return command


def run(store: Path, command: str) -> subprocess.CompletedProcess[str]:
    """In a bash of its own, with nothing set but where programs are, and (not exported) where the keys lie that came by another way."""
    needs("openssl")
    needs("ssh-keygen")
    trust = store.parent / "keys that came by another way"
    if not trust.exists():
        shutil.copytree(store / "trust", trust)
    return subprocess.run(
        [
            *("env", "-i", f"PATH={os.environ['PATH']}", "bash", "-eu", "-o", "pipefail", "-c"),
            f"TRUST={shlex.quote(str(trust))}\n{command}",
        ],
        cwd=store,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def stamped(production: ProductionRecord, tmp_path_factory: pytest.TempPathFactory) -> ProductionRecord:
    """The record after a real openssl authority stamped it: at the size its run was anchored, and once more."""
    needs("openssl")
    home = tmp_path_factory.mktemp("stamped")
    store = FolderStore(shutil.copytree(production.store, home / "production", symlinks=True))
    made = timestamp_authority.authority(home / "tsa")
    origin = production.anchor.split()[1]
    log = open_record(store, origin=origin, key_file=production.key, clock=SystemClock(), actor="system:anchor")
    trust_authority(log, store.path, made.certificate.read_bytes(), actor="system:anchor")
    anchored = max((store.path / "anchors").glob("*.checkpoint"))
    STAMPED[:] = [int(anchored.stem), log.signed().checkpoint.size]
    with timestamp_authority.serving(made) as url:
        authority = TimestampAuthority(store, url, made.certificate.read_bytes(), timeout_s=30)
        authority.make(parse(store.get(f"log/{STAMPED[0] - 1:08d}.event")).signed)
        store.create(file_name(log.signed()), log.signed().text.encode())
        authority.make(log.signed())
    found = verify(store.path)
    assert found.ok, found.findings
    assert found.checks[11].detail == "2 replies"
    return replace(production, store=store.path)


def test_each_runs_as_printed_and_agrees_with_the_record(stamped: ProductionRecord, tmp_path: Path) -> None:
    it = TamperedRecord.copy(stamped, tmp_path / "inspected")
    commands = printed(stamped)

    for command in commands:
        done = run(it.store, command)
        assert done.stderr == "", done
        assert kind_of(command).agrees(done), done
    assert {id(kind) for kind in KINDS.values()} == {id(kind_of(command)) for command in commands}
    assert sum(kind_of(command) is KINDS["a signature"] for command in commands) == 2


def test_each_command_of_ours_in_a_page_or_a_verdict_is_one_that_the_command_line_takes(
    production: ProductionRecord,
) -> None:
    pages = [page.read_text(encoding="utf-8") for page in sorted(production.store.glob("runs/*/report.html"))]
    remedies = [str(event.data["remedy"]) for event in production.events() if event.data.get("remedy")]
    told = [command for text in (*pages, *remedies) for command in commands_in(text)]

    assert any(command.startswith("pytest-deploy approve ") for command in told)
    assert [fault for command in sorted(set(told)) if (fault := fault_of(command))] == []


def test_each_notices_what_it_is_there_for(stamped: ProductionRecord, tmp_path: Path) -> None:
    for number, command in enumerate(printed(stamped)):
        it = TamperedRecord.copy(stamped, tmp_path / f"{number}" / "inspected")
        kind = kind_of(command)
        kind.tampering(it, command)
        assert not kind.agrees(run(it.store, command)), command


def test_a_signature_swapped_for_another_persons_is_noticed(stamped: ProductionRecord, tmp_path: Path) -> None:
    it = TamperedRecord.copy(stamped, tmp_path / "inspected")
    one, other = it.approvals()
    exchange(Path(f"{one}.sig"), Path(f"{other}.sig"))

    for command in printed(stamped):
        if kind_of(command) is KINDS["a signature"]:
            assert run(it.store, command).returncode != 0


def checkpoint_digest(checkpoint: Path) -> bytes:
    return hashlib.sha256(checkpoint.read_bytes()).digest()


@pytest.mark.faults
def test_an_export_of_the_run_verifies_by_the_commands_that_its_report_prints(
    stamped: ProductionRecord, tmp_path: Path
) -> None:
    it = TamperedRecord.copy(stamped, tmp_path / "inspected")
    origin = stamped.anchor.split()[1]
    log = open_record(
        FolderStore(it.store), origin=origin, key_file=stamped.key, clock=SystemClock(), actor="system:export"
    )
    log.append(content_of("record.read", {"reader": "inspector"}), run=stamped.run, actor="system:export")
    out = Export(log, it.store, stamped.run, tmp_path / "handed out")
    out.check()
    out.begin()
    out.copy(log.run(stamped.run))
    out.render(log.run(stamped.run))
    shutil.copytree(it.store / "trust", tmp_path / "keys that came by another way")

    page = parse_page((out.into / "report.html").read_text(encoding="utf-8"))
    *commands, of_the_whole_store = [pre.text for pre in page.all("pre", class_="command")]
    assert "BROKEN" in run(out.into, of_the_whole_store).stdout
    holds = 0
    for command in commands:
        done = run(out.into, command)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert "DOES NOT HOLD" not in done.stdout
        holds += done.stdout.count(".event holds\n")
    assert holds == len(log.run(stamped.run))
    assert (out.into / f"anchors/{STAMPED[0]:08d}.tsr").is_file()


def _spoil(checkpoint: Path, what: str) -> None:
    """The checkpoint, or what the authority signed in its reply: the digest of the checkpoint, the time, the signature itself."""
    reply = checkpoint.with_suffix(".tsr")
    if what == "the checkpoint":
        flip(checkpoint, 30)
    elif what == "the reply's digest":
        flip(reply, reply.read_bytes().index(checkpoint_digest(checkpoint)))
    elif what == "the reply's time":
        flip(reply, reply.read_bytes().index(b"Z", reply.read_bytes().index(checkpoint_digest(checkpoint))) - 1)
    else:
        flip(reply, len(reply.read_bytes()) - 1)


@pytest.mark.parametrize("what", ["the checkpoint", "the reply's digest", "the reply's time", "the reply's signature"])
@pytest.mark.parametrize("which", [0, 1])
def test_an_altered_timestamp_and_an_altered_checkpoint_are_named(
    stamped: ProductionRecord, tmp_path: Path, what: str, which: int
) -> None:
    it = TamperedRecord.copy(stamped, tmp_path / "inspected")
    _spoil(it.store / "anchors" / f"{STAMPED[which]:08d}.checkpoint", what)

    done = run(it.store, the_timestamps(stamped))
    assert done.returncode != 0
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert said.pop(f"anchors/{STAMPED[which]:08d}.tsr") == "DOES NOT HOLD"
    assert [words.startswith("holds: ") for words in said.values()] == [True]


def test_a_sound_timestamp_of_a_log_that_is_not_this_one_does_not_hold(
    stamped: ProductionRecord, tmp_path: Path
) -> None:
    it = TamperedRecord.copy(stamped, tmp_path / "inspected")
    _rewrite(it, "")

    assert "holds" not in run(it.store, the_timestamps(stamped)).stdout


def test_another_authoritys_timestamp_does_not_hold(stamped: ProductionRecord, tmp_path: Path) -> None:
    it = TamperedRecord.copy(stamped, tmp_path / "inspected")
    run(it.store, "true")  # the keys came
    shutil.copy(
        timestamp_authority.authority(tmp_path / "stranger").certificate,
        tmp_path / "keys that came by another way/tsa-ca.pem",
    )

    assert "holds" not in run(it.store, the_timestamps(stamped)).stdout


def test_a_record_without_timestamps_says_so(production: ProductionRecord, tmp_path: Path) -> None:
    it = TamperedRecord.copy(production, tmp_path / "inspected")
    done = run(it.store, the_timestamps(production))
    assert (done.returncode, done.stdout, done.stderr) == (0, "anchors/ holds no timestamp\n", "")

    shutil.rmtree(it.store / "anchors")
    assert run(it.store, the_timestamps(production)).stdout == "anchors/ holds no timestamp\n"
