"""The second opinion, written from the description of the format alone, says what the verifier says.

Each case is judged by both: `verify.sh` as it lies in the store, and `pytest_deploy.verify.verify`. They refuse the same
stores and name the same file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import pytest_deploy
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.event import canonical
from pytest_deploy.record.events import TYPES, parse
from pytest_deploy.record.key import FileSigner, LogKey
from pytest_deploy.record.log import Log
from pytest_deploy.record.meanings import MEANINGS
from pytest_deploy.record.run_state import FINISHED
from pytest_deploy.record.transitions import LEGAL
from tests.unit.record.sample_record import (
    ACTOR,
    ORIGIN,
    HandClock,
    RunWriter,
    decided,
    deployed,
    open_log,
    phase_finished,
    step_finished,
    step_started,
)
from tests.unit.verify.altered_record import (
    alert,
    at,
    crlf,
    exchange,
    first,
    flip,
    forge,
    grow,
    link,
    renumber,
    replace,
    rotate,
    swap,
)
from tests.unit.verify.conftest import Record, Signing
from tests.unit.verify.second_verifier import both, second_opinion

MIDDLE = 6


def test_a_run_that_says_whose_it_is_and_one_that_does_not_verify_alike(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    references = {"training": 'LMS "DEP-100", Ordner Ü', "letter_to_fda": None}
    for said in ({}, {"organisation": {"name": "Example", "references": references}}):
        RunWriter(log).open(**said).step("build").close("failed")

    assert both(log.store.folder()) == (True, "")


def _longer(path: Path) -> None:
    """What openssl does not mind: the reply is whole, and something follows it."""
    path.write_bytes(path.read_bytes() + b"\0")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "a checkpoint deleted": (lambda anchors: (anchors / "00000002.checkpoint").unlink(), "00000002.tsr"),
    "a timestamp deleted": (lambda anchors: (anchors / "00000002.tsr").unlink(), "00000002.tsr"),
    "both deleted": (shutil.rmtree, "00000002.checkpoint"),
    "a timestamp with a byte more": (lambda anchors: _longer(anchors / "00000002.tsr"), "00000002.tsr"),
}
"""What is done to anchors/, and what both name; a timestamp without its checkpoint is noticed first."""


@pytest.mark.parametrize("spoil", [*SPOILT, "nothing"])
def test_an_anchor_that_the_log_recorded_is_there_as_recorded(stamped: Path, spoil: str) -> None:
    log = open_log(stamped.parents[1], HandClock(SystemClock().now()))
    path = stamped / "anchors/00000002.checkpoint"
    data = {
        "kind": "rfc3161", "size": 2, "root": path.read_text(encoding="utf-8").splitlines()[2], "file": "anchors/00000002.checkpoint",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "reply_sha256": hashlib.sha256(path.with_suffix(".tsr").read_bytes()).hexdigest(),
    }  # fmt: skip
    log.append(parse("anchor.made", data), run="-", actor=ACTOR)
    if spoil == "nothing":
        assert both(stamped) == (True, "")
        return
    act, named = SPOILT[spoil]
    act(stamped / "anchors")

    assert both(stamped) == (False, f"anchors/{named}")


def test_an_event_that_names_another_file_as_an_anchor_is_named_by_both(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    _, _, size, root = log.checkpoint().split(" ")
    data = {"kind": "copy", "size": int(size), "root": root, "file": "../outside.checkpoint", "sha256": "0" * 64}
    seq = log.append(parse("anchor.made", data), run="-", actor=ACTOR).seq

    assert both(log.store.folder()) == (False, entries.name(seq))


@dataclass(frozen=True)
class Tampering:
    """One way to alter a record, and the file that both have to name."""

    name: str
    do: Callable[[Record], object]
    place: Callable[[Record], str] | str
    anchored: bool = False


def of_first(name: str) -> Callable[[Record], str]:
    return lambda record: f"runs/{record.first}/{name}"


TAMPERINGS = [
    Tampering("a word of an event changed", lambda r: replace(at(r, 3), b'"steps":2', b'"steps":3'), entries.name(3)),
    Tampering("a space in an event", lambda r: replace(at(r, 3), b'"steps":2', b'"steps": 2'), entries.name(3)),
    Tampering("the first event changed", lambda r: replace(at(r, 0), b"begins", b"began "), entries.name(0)),
    Tampering("the last event changed", lambda r: replace(at(r, r.size - 1), b"killed", b"Killed"),
              lambda r: entries.name(r.size - 1)),
    Tampering("an event removed", lambda r: at(r, MIDDLE).unlink(), entries.name(MIDDLE)),
    Tampering("the first event removed", lambda r: at(r, 0).unlink(), entries.name(0)),
    Tampering("the last event removed", lambda r: at(r, r.size - 1).unlink(), lambda r: entries.name(r.size - 1),
              anchored=True),
    Tampering("an event removed, the rest renumbered", renumber, entries.name(5)),
    Tampering("two events swapped", swap, entries.name(5)),
    Tampering("an event renamed", lambda r: at(r, 5).replace(at(r, 999)), entries.name(5)),
    Tampering("an event copied to another name", lambda r: shutil.copy(at(r, 5), at(r, 5).with_suffix(".bak")),
              "log/00000005.bak"),
    Tampering("an event forged at the end", alert, lambda r: entries.name(r.size)),
    Tampering("an event forged in place", lambda r: forge(r, 5), entries.name(5)),
    Tampering("another environment's log", lambda r: exchange(r, "deploy.example.org/staging"), entries.name(0)),
    Tampering("another log of the environment", lambda r: exchange(r, ORIGIN), entries.name(0)),
    Tampering("line ends of another system", lambda r: crlf(at(r, 5)), entries.name(5)),
    Tampering("an event of nothing", lambda r: at(r, 5).write_bytes(b""), entries.name(5)),
    Tampering("an event cut short", lambda r: at(r, 5).write_bytes(at(r, 5).read_bytes()[:-1]), entries.name(5)),
    Tampering("a line after an event", lambda r: grow(at(r, 5), b"more\n"), entries.name(5)),
    Tampering("bytes after an event", lambda r: grow(at(r, 5), b"\0\0"), entries.name(5)),
    Tampering("an event that is a link", lambda r: link(at(r, 5)), entries.name(5)),
    Tampering("a trust set changed", lambda r: replace(trust_set(r) / "roles.json", b"{}", b"[]"), entries.name(0)),
    Tampering("a trust set with a file more", lambda r: (trust_set(r) / "x").touch(), entries.name(0)),
    Tampering("the plain copy of the key changed", lambda r: (r.store / "trust/log.pem").write_text("x"), "trust/log.pem"),
    Tampering("a file added to a sealed run", lambda r: first(r, "extra.txt").touch(), of_first("extra.txt")),
    Tampering("a hidden file added to a sealed run", lambda r: first(r, ".extra").touch(), of_first(".extra")),
    Tampering("a file removed from a sealed run", lambda r: first(r, "report.html").unlink(), of_first("report.html")),
    Tampering("a file of a sealed run changed", lambda r: flip(first(r, "report.html"), 9), of_first("report.html")),
    Tampering("a file of a sealed run linked", lambda r: link(first(r, "report.html")), of_first("report.html")),
    Tampering("a request changed", lambda r: replace(first(r, "request.json"), b"000", b"001"), of_first("request.json")),
    Tampering("SHA256SUMS changed", lambda r: flip(first(r, "SHA256SUMS"), 0), of_first("SHA256SUMS")),
    Tampering("SHA256SUMS without a line", lambda r: first(r, "SHA256SUMS").write_bytes(b""), of_first("SHA256SUMS")),
    Tampering("SHA256SUMS removed", lambda r: first(r, "SHA256SUMS").unlink(), of_first("SHA256SUMS")),
    Tampering("a file added to an abandoned run", lambda r: (r.store / "runs" / r.abandoned / "y").touch(),
              lambda r: f"runs/{r.abandoned}/y"),
    Tampering("a folder of a run nobody knows", lambda r: (r.store / "runs/local-20200101T000000Z-0000").mkdir(),
              "runs/local-20200101T000000Z-0000"),
    Tampering("a file among the runs", lambda r: (r.store / "runs/x").touch(), "runs/x"),
]  # fmt: skip


def trust_set(record: Record) -> Path:
    return next(path for path in (record.store / "trust").iterdir() if path.is_dir())


def test_every_store_carries_a_script_that_runs(record: Record) -> None:
    assert os.access(record.store / "verify.sh", os.X_OK)


def test_both_verify_an_untouched_record_and_its_anchors(record: Record) -> None:
    assert both(record.store) == (True, "")
    assert both(record.store, anchor=record.anchor) == (True, "")
    assert both(record.store, anchor=record.early_anchor) == (True, "")
    assert second_opinion(record.store, "--signatures", "all").ok


def test_the_script_judges_the_store_it_is_given(record: Record, tmp_path: Path) -> None:
    """It may lie anywhere; spaces in a path are no matter."""
    elsewhere = tmp_path / "a copy of it"
    shutil.copytree(record.store, elsewhere)
    (elsewhere / "verify.sh").unlink()

    assert second_opinion(record.store, str(elsewhere)).ok
    assert not second_opinion(record.store, str(tmp_path)).ok


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda tampering: tampering.name)
def test_both_refuse_each_way_to_alter_a_record_and_name_its_file(record: Record, tampering: Tampering) -> None:
    tampering.do(record)
    place = tampering.place if isinstance(tampering.place, str) else tampering.place(record)

    assert both(record.store, anchor=record.anchor if tampering.anchored else None) == (False, place)


@pytest.mark.parametrize("part", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_both_see_a_flipped_byte_in_every_line_of_an_event(record: Record, part: int) -> None:
    """The event, the proof's head, its position, path, the empty line, origin, size, root, the empty line, signature."""
    lines = at(record, MIDDLE).read_bytes().splitlines(keepends=True)
    assert len(lines) == 11
    before = b"".join(lines[:part])
    flip(at(record, MIDDLE), len(before) + len(lines[part]) // 2)

    assert both(record.store) == (False, entries.name(MIDDLE))


def test_both_see_a_flipped_byte_in_the_signature_of_an_old_event(record: Record) -> None:
    data = at(record, MIDDLE).read_bytes()
    flip(at(record, MIDDLE), len(data) - 40)

    assert both(record.store) == (False, entries.name(MIDDLE))


@pytest.mark.parametrize("anchor", ["longer", "another root", "another log", "no anchor"])
def test_both_refuse_a_log_that_an_anchor_contradicts(record: Record, anchor: str) -> None:
    given = {
        "longer": record.anchor.replace(f" {record.size} ", f" {record.size + 3} "),
        "another root": record.anchor.replace(f" {record.size} ", f" {record.size - 3} "),
        "another log": record.anchor.replace("/local ", "/production "),
        "no anchor": "tlog",
    }[anchor]

    place = entries.name(record.size) if anchor == "longer" else "--anchor"
    assert both(record.store, anchor=given) == (False, place)
    assert both(record.store, anchor=[given, record.anchor]) == (False, place)
    assert both(record.store, anchor=[record.early_anchor, record.anchor, given]) == (False, place)


def test_both_hold_copied_anchors_against_the_log(record: Record) -> None:
    path = record.store / "anchors" / "00000005.checkpoint"
    path.parent.mkdir()
    path.write_text(entries.parse(at(record, 4).read_bytes()).signed.text)
    assert both(record.store) == (True, "")
    flip(path, len("deploy.example.org/local\n5\n"))
    assert both(record.store) == (False, "anchors/00000005.checkpoint")


def test_both_check_timestamps(stamped: Path) -> None:
    assert both(stamped) == (True, "")
    (stamped / "anchors" / "00000002.tsr").write_bytes(b"noise")
    assert both(stamped) == (False, "anchors/00000002.tsr")


def test_both_name_a_run_in_progress_and_take_no_offence(tmp_path: Path) -> None:
    run = RunWriter(open_log(tmp_path, HandClock())).open().run
    store = tmp_path / "reports" / "local"

    assert both(store) == (True, "")
    assert f"note: {run} is in progress" in second_opinion(store).text


def signer_of(written: Record) -> FileSigner:
    return FileSigner.open(written.store.parents[1] / "keys" / "local.pem")


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "gate.opened"},
        {"type": "run.opened", "run": "-"},
        {"prev": "1" * 64},
        {"time": datetime.fromisoformat("2026-11-22T11:59:59+00:00")},
    ],
    ids=" ".join,
)
def test_both_hold_what_the_logs_own_key_signed_to_the_rules(
    record: Record, written: Record, changes: dict[str, Any]
) -> None:
    forge(record, 5, signer_of(written), **changes)

    assert both(record.store) == (False, entries.name(5))


def test_both_refuse_an_end_that_is_not_what_was_decided(tmp_path: Path) -> None:
    """Written past the writer's own rules, with the log's key: the rules show it."""
    log = open_log(tmp_path, HandClock())
    writing = RunWriter(log).open().step("build")
    writing.add("run.decided", {"outcome": "failed", "cause": None, "duration_s": 1.0, "sla_s": None})
    store = tmp_path / "reports" / "local"
    size = len(list((store / "log").glob("*.event")))
    record = Record(store, writing.run, "", "", "", size, "", "")
    data = {
        "outcome": "refused",
        "record": f"runs/{writing.run}",
        "record_sha256": writing.folder.seal(),
        "missing": [],
    }
    forge(record, size, FileSigner.open(tmp_path / "keys" / "local.pem"), type="run.closed", data=data)

    assert both(store) == (False, entries.name(size))


NODE = "suites/preflight/test_gates.py::test_window"


@pytest.mark.parametrize("end", ["passed", "still-needed", "not-applicable", "failed"])
@pytest.mark.parametrize("said", ["passed", "still-needed", "not-applicable", "not-run"])
def test_both_refuse_a_phase_that_is_better_than_its_steps(tmp_path: Path, end: str, said: str) -> None:
    """Written past the writer's own rules, with the log's key; the phase before it failed, and is no excuse."""
    log = open_log(tmp_path, HandClock())
    writing = RunWriter(log, pipeline="plan").open().step("build", outcome="failed")
    writing.add("phase.started", {"phase": "preflight"})
    writing.add("step.started", step_started(NODE, "preflight"))
    size = writing.add("step.finished", step_finished(NODE, "preflight", end)) + 1
    store = log.store.folder()
    record = Record(store, writing.run, "", "", "", size, "", "")
    signer = FileSigner.open(tmp_path / "keys" / "local.pem")
    forge(record, size, signer, type="phase.finished", data=phase_finished("preflight", said))

    assert both(store) == ((True, "") if said == end else (False, entries.name(size)))


@pytest.mark.parametrize("end", ["passed", "still-needed", "not-applicable", "failed"])
@pytest.mark.parametrize("said", ["passed", "still-needed"])
def test_both_refuse_a_plan_that_is_better_than_its_steps(tmp_path: Path, end: str, said: str) -> None:
    log = open_log(tmp_path, HandClock())
    writing = RunWriter(log, pipeline="plan").open().step("preflight", outcome=end)
    head = log.head()
    assert head is not None
    record = Record(log.store.folder(), writing.run, "", "", "", head.seq + 1, "", "")
    signer = FileSigner.open(tmp_path / "keys" / "local.pem")
    forge(record, record.size, signer, type="run.decided", data=decided(said))

    holds = said == end or (said, end) == ("passed", "not-applicable")
    assert both(record.store) == ((True, "") if holds else (False, entries.name(record.size)))


def test_both_follow_a_clock_that_was_mended_and_no_other_way_back(record: Record, written: Record) -> None:
    early = entries.parse(at(record, record.size - 1).read_bytes()).event.time - timedelta(minutes=1)
    skew: dict[str, Any] = {"skew_s": 61.0, "source": "ntp"}
    skewed = {"type": "clock.skewed", "run": "-", "actor": ACTOR}
    signer = signer_of(written)
    forge(record, record.size, signer, data=skew, **skewed)
    forge(record, record.size + 1, signer, data=skew, time=early, **skewed)
    assert both(record.store) == (False, entries.name(record.size + 1))
    forge(record, record.size, signer, data={**skew, "restart": f"{early:%Y-%m-%dT%H:%M:%S}.000Z"}, **skewed)
    forge(record, record.size + 1, signer, data=skew, time=early, **skewed)
    assert both(record.store) == (True, "")


def test_both_accept_what_a_writer_whose_clock_is_behind_notes_outside_a_run(tmp_path: Path) -> None:
    """The skew, and above 2 s an alert, stand before the event that the writer came for: here a key's."""
    log = open_log(tmp_path, HandClock())
    behind = Log(
        log.store,
        FileSigner.open(tmp_path / "keys" / "local.pem"),
        ORIGIN,
        HandClock(log.clock.now() - timedelta(seconds=3)),
    )
    store = rotate(behind, tmp_path)
    types = [entries.parse(path.read_bytes()).event.type for path in sorted((store / "log").iterdir())]

    assert types == ["key.enrolled", "clock.skewed", "alert.raised", "key.rotated"]
    assert both(store) == (True, "")


def test_both_follow_a_rotation_of_the_logs_key(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    store = rotate(log, tmp_path)
    assert both(store) == (True, "")

    record = Record(store, "", "", "", "", 2, "", "")
    data = {"skew_s": 1.0, "source": "ntp"}
    skewed = {"type": "clock.skewed", "run": "-", "data": data}
    forge(record, 2, FileSigner.open(tmp_path / "keys" / "local.pem"), **skewed)
    assert both(store) == (False, entries.name(2))
    forge(record, 2, FileSigner.open(tmp_path / "keys" / "new.pem"), **skewed)
    assert both(store) == (True, "")


def test_both_read_a_key_whose_text_form_ends_in_its_own_separator(tmp_path: Path) -> None:
    """One key in a hundred does; the parts of a log.vkey are separated by `+`, which base64 uses too."""
    while True:
        key = Ed25519PrivateKey.generate()
        vkey = LogKey(ORIGIN, key.public_key().public_bytes_raw()).vkey
        if vkey.endswith("+") and vkey.count("+") == 3:
            break
    pem = tmp_path / "keys" / "local.pem"
    pem.parent.mkdir()
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pem.chmod(0o600)
    open_log(tmp_path, HandClock())

    assert vkey == (tmp_path / "reports/local/trust/log.vkey").read_text().strip()
    assert both(tmp_path / "reports" / "local") == (True, "")


def test_both_accept_a_signed_approval_and_note_one_that_no_event_counts(signing: Signing) -> None:
    signing.sign()
    assert both(signing.store) == (True, "")
    name = f"runs/{signing.run.run}/approvals/qa-lead-01234567.json"
    assert f"note: {name}: no event counts it" in second_opinion(signing.store).text
    signing.count()
    assert both(signing.store) == (True, "")
    assert name not in second_opinion(signing.store).text


@pytest.mark.parametrize(
    "fault", ["another person", "another purpose", "too late", "another role", "altered", "removed"]
)
def test_both_refuse_an_approval_that_is_not_what_the_log_counts(signing: Signing, fault: str) -> None:
    clock = signing.log.clock
    assert isinstance(clock, HandClock)
    clock.move(timedelta(days=40).total_seconds() if fault == "too late" else 1)
    signing.sign(
        key="eve" if fault == "another person" else "ada",
        namespace="file@example.org" if fault == "another purpose" else "deploy-approval@example.org",
        **({"role": "Dev"} if fault == "another role" else {}),
    )
    signing.count()
    name = f"runs/{signing.run.run}/approvals/qa-lead-01234567.json"
    if fault == "altered":
        (signing.store / name).write_bytes(canonical({"meaning": "approved"}))
    elif fault == "removed":
        (signing.store / f"{name}.sig").unlink()

    of_signature = {"another person", "another purpose", "too late", "removed"}
    assert both(signing.store) == (False, f"{name}.sig" if fault in of_signature else name)


def test_the_script_refuses_what_it_does_not_know(record: Record) -> None:
    """No argument is passed over: a misspelt --anchor must not verify."""
    for arguments in (
        ["--ancor", record.anchor],
        ["--anchor"],
        [str(record.store), "another"],
        ["--signatures", "some"],
    ):
        assert not second_opinion(record.store, *arguments).ok


@pytest.mark.scale
@pytest.mark.timeout(600)
def test_the_script_is_good_for_ten_thousand_events(tmp_path: Path) -> None:
    """Whole runs with their folders; docs/tampering.md says how long it takes. A process for each event would need 20 minutes."""
    clock = HandClock()
    log = open_log(tmp_path, clock)
    while (head := log.head()) is not None and head.seq < 10_000:
        clock.move(600)
        deployed(log)
    began = time.monotonic()

    assert both(tmp_path / "reports" / "local", anchor=log.checkpoint()) == (True, "")
    assert time.monotonic() - began < 120


def test_each_of_several_anchors_is_looked_at(record: Record) -> None:
    other = record.early_anchor.replace(record.early_anchor.split()[3], record.anchor.split()[3])
    assert second_opinion(record.store, "--anchor", record.early_anchor, "--anchor", record.anchor).ok
    for lines in ([other, record.anchor], [record.anchor, other]):
        words = [word for line in lines for word in ("--anchor", line)]
        assert "saw another root" in second_opinion(record.store, *words).text


@pytest.mark.parametrize(
    "says, counts",
    [
        ({}, {"printed_name": "Grace"}),
        ({}, {"signed_at": "2026-11-22T11:00:00.000Z"}),
        ({}, {"comment": "I read it all"}),
        ({"role": "QA"}, {"role": "QA"}),
        ({"printed_name": "Grace"}, {}),
    ],
    ids=["name", "time", "comment", "role not held", "name not enrolled"],
)
def test_name_time_and_role_of_a_signature_are_those_that_were_signed_and_held(
    signing: Signing, says: dict[str, Any], counts: dict[str, Any]
) -> None:
    signing.sign(**says)
    signing.count(**counts)
    ok, place = both(signing.store)
    assert not ok
    assert place.endswith(".json")


@pytest.mark.parametrize("name", ["anchors/00000001.checkpoint", "anchors/00000001.tsr"])
def test_what_a_recorded_anchor_left_in_the_record_is_missed(tmp_path: Path, name: str) -> None:
    log = open_log(tmp_path, HandClock())
    _, _, size, root = log.checkpoint().split(" ")
    key, file = ("sha256", {"file": name}) if name.endswith("checkpoint") else ("reply_sha256", {})
    made = {"kind": "copy", "size": int(size), "root": root, key: "0" * 64, **file}
    log.append(parse("anchor.made", made), run="-", actor=ACTOR)
    assert (False, name) == both(tmp_path / "reports" / "local")


def test_it_knows_the_types_of_events_that_there_are() -> None:
    assert sorted(_of_script("types").split()) == sorted(TYPES)


def test_what_it_lets_follow_the_end_of_a_run_is_what_the_table_lets() -> None:
    """The lease is renewed until it is released, and a slow seal is longer than the time between two renewals."""
    after = re.compile(_of_script("after"))
    legal = {name for name, rule in LEGAL.items() if rule.stages & FINISHED}

    assert {name for name in TYPES if after.search(name)} == legal


def test_it_knows_the_meanings_that_there_are() -> None:
    lines = "".join(_of_script("meanings").split("\n")).split("|")[1:]

    assert lines == [f"{kind}={meaning}" for kind, known in MEANINGS.items() for meaning in known]


def _of_script(variable: str) -> str:
    """What verify.sh holds in a variable."""
    script = (Path(pytest_deploy.__file__).parent / "verify" / "verify.sh").read_text(encoding="utf-8")
    return script.partition(f"\n{variable}='")[2].partition("'")[0]
