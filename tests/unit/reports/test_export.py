"""A run is handed out as it was sealed, with the current report; reading it is recorded first, and nothing else in the store changes."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_deploy.anchors.kinds import TimestampAuthority, file_name
from pytest_deploy.approvals.enrollment import trust_authority
from pytest_deploy.commands.audit import verify
from pytest_deploy.commands.export import export
from pytest_deploy.errors import DeployError, RecordError, RecordTampered, Refused, UsageError
from pytest_deploy.record import preimages
from pytest_deploy.record.events import parse as content_of
from pytest_deploy.record.key import FileSigner, LogKey
from pytest_deploy.record.log import Log
from pytest_deploy.record.open_record import IN_A_FILE, KeyFile, rotate
from tests import timestamp_authority
from tests.required_programs import needs
from tests.unit.commands.typed import typed
from tests.unit.record.sample_record import ACTOR, SHA, RunWriter, deployed, open_log
from tests.unit.reports.parsed_page import parse
from tests.unit.reports.report_commands import run

CONFIGURATION = Path(__file__).parents[3]


class Checkout:
    """A checkout with a record of one closed run, and on it neither Chromium nor Allure."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("deploy.yaml", "calendar.yaml", "incidents.json"):
            shutil.copy(CONFIGURATION / name, root / name)
        self.log: Log = open_log(root)
        (root / ".deploy").mkdir()
        (root / "keys").rename(root / ".deploy" / "keys")
        self.store = root / "reports" / "local"
        self.run = deployed(self.log)
        self.into = root / "handed-out"

    def export(
        self, run: str = "", into: Path | None = None, *, reader: str = "", purpose: str = "inspection"
    ) -> list[str]:
        """Hand the run out; what was said."""
        return typed(self.root, export, run or self.run, into or self.into, reader=reader, purpose=purpose)

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.store)): p.read_bytes() for p in sorted(self.store.rglob("*")) if p.is_file()}


def abandoned(checkout: Checkout, files: Mapping[str, bytes]) -> str:
    """A run that was abandoned with these files in its folder."""
    writing = RunWriter(checkout.log).open()
    for name, content in files.items():
        writing.folder.create(name, content)
    found = writing.folder.seal(sums="FOUND.SHA256SUMS")
    writing.add("run.abandoned", {"cause": "its process was gone", "found_sha256": found})
    assert writing.lease is not None
    writing.lease.release()
    return writing.run


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    return Checkout(tmp_path)


def test_the_sealed_folder_is_handed_out_byte_for_byte(checkout: Checkout) -> None:
    checkout.export()

    sealed, copy = checkout.store / "runs" / checkout.run, checkout.into / "runs" / checkout.run
    assert {p.name: p.read_bytes() for p in sealed.iterdir()} == {p.name: p.read_bytes() for p in copy.iterdir()}


def test_the_store_gets_the_reading_and_nothing_else(checkout: Checkout) -> None:
    before = checkout.files()

    checkout.export(reader="A. Inspector, FDA", purpose="inspection 2033-114")

    after = checkout.files()
    (added,) = after.keys() - before.keys()
    assert {name: after[name] for name in before} == before
    event = checkout.log.run(checkout.run)[-1]
    assert added == f"log/{event.seq:08d}.event"
    assert (event.type, event.data) == (
        "record.read",
        {
            "reader": "A. Inspector, FDA", "purpose": "inspection 2033-114", "place": str(checkout.into),
            "size": event.seq, "files": 3,
        },
    )  # fmt: skip


def test_each_event_of_the_run_is_handed_out_as_it_lies_in_the_log(checkout: Checkout) -> None:
    deployed(checkout.log)  # another run, which is not handed out

    checkout.export()

    handed = {path.name: path.read_bytes() for path in (checkout.into / "log").iterdir()}
    mine = {f"{event.seq:08d}.event" for event in checkout.log.run(checkout.run)}
    assert handed.keys() == mine
    assert all((checkout.store / "log" / name).read_bytes() == content for name, content in handed.items())


def test_the_current_report_says_what_was_recorded_since_and_the_sealed_one_stays(checkout: Checkout) -> None:
    name = f"signoffs/{checkout.run}/qa-lead-00000000.json"
    place = checkout.store / name
    place.parent.mkdir(parents=True)
    place.write_bytes(b"{}\n")
    signed = {"file": name, "sha256": SHA, "signature_sha256": SHA, "role": "QA Lead", "signer": "q@example.org"}
    more = {"meaning": "has reviewed this record", "record_sha256": SHA}
    checkout.log.append(content_of("signoff.signed", signed | more), run=checkout.run, actor=ACTOR)

    checkout.export()

    page = parse((checkout.into / "report.html").read_text(encoding="utf-8"))
    assert "not the sealed one" in page.one("p", id="current").text
    assert "has reviewed this record" in page.one("table", class_="later").text
    types = [row.attributes["data-type"] for row in page.one("table", id="later").one("tbody").all("tr")]
    assert types == ["run.closed", "lease.released", "signoff.signed", "record.read"]
    assert (checkout.into / name).read_bytes() == b"{}\n"


def test_what_could_not_be_made_is_said_with_its_reason_here_and_in_the_folder(checkout: Checkout) -> None:
    said = checkout.export()

    assert [line for line in said if line.startswith("not made")] == [
        "not made  anchors/: none was made at an event of this run; later ones stand in the store",
        "not made  report.pdf: none of chromium, chromium-browser, google-chrome-stable, google-chrome is installed (Debian: chromium)",
        "not made  allure.html: the sealed folder holds no allure-results",
    ]  # fmt: skip
    told = (checkout.into / "EXPORT.txt").read_text(encoding="utf-8")
    assert all(line in told for line in said)
    assert checkout.log.checkpoint() in told


def test_everything_handed_out_is_listed_and_the_list_holds(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.export()
    monkeypatch.setenv("PATH", os.defpath)
    needs("sha256sum")

    for folder in (checkout.into, checkout.into / "runs" / checkout.run):
        words = ["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"]
        assert subprocess.run(words, cwd=folder, check=False, timeout=60).returncode == 0
    listed = (checkout.into / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    files = [path for path in checkout.into.rglob("*") if path.is_file()]
    assert len(listed) == len(files) - 1


# --- anchors, and what an export proves with stock tools


@pytest.fixture
def anchored(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """Stamped by a real authority when the run had just ended, and again when another run had."""
    monkeypatch.setenv("PATH", os.defpath)
    needs("openssl")
    made = timestamp_authority.authority(checkout.root / "tsa")
    certificate = made.certificate.read_bytes()
    trust_authority(checkout.log, checkout.store, certificate, actor=ACTOR)
    checkout.run = deployed(checkout.log)
    with timestamp_authority.serving(made) as url:
        for _ in range(2):
            signed = checkout.log.signed()
            checkout.log.store.create(file_name(signed), signed.text.encode())
            TimestampAuthority(checkout.log.store, url, certificate, timeout_s=30).make(signed)
            deployed(checkout.log)
    shutil.copytree(checkout.store / "trust", checkout.root / "elsewhere")  # keys that came by another way
    return checkout


def commands(checkout: Checkout) -> dict[str, str]:
    """What the export's report prints, by what each is known by."""
    page = parse((checkout.into / "report.html").read_text(encoding="utf-8"))
    printed = [pre.text for pre in page.all("pre", class_="command")]
    known = (
        "sha256sum --strict",
        "record_sha256",
        "openssl dgst",
        "sed '/^$/,$d' \"$t/note\"",
        "grep -cxF",
        "openssl ts",
        "BROKEN",
    )
    found = {}
    for command in printed:
        found[next(words for words in known if words in command)] = command
    assert found.keys() == set(known)
    return found


def test_the_anchors_made_at_an_event_of_the_run_are_handed_out_and_no_others(anchored: Checkout) -> None:
    last = next(e for e in anchored.log.run(anchored.run) if e.type == "lease.released").seq + 1
    said = anchored.export()

    names = [f"{last:08d}.checkpoint", f"{last:08d}.tsr"]
    assert sorted(path.name for path in (anchored.into / "anchors").iterdir()) == names
    assert len(list((anchored.store / "anchors").iterdir())) == 4
    assert all(
        (anchored.into / "anchors" / n).read_bytes() == (anchored.store / "anchors" / n).read_bytes() for n in names
    )
    assert f"made      anchors/  {', '.join(names)}" in said


def test_an_export_verifies_with_the_commands_its_report_prints(anchored: Checkout) -> None:
    anchored.export()
    ran = {known: run(anchored.into, command) for known, command in commands(anchored).items()}

    whole_store_alone = ran.pop("BROKEN")
    assert "BROKEN" in whole_store_alone.stdout
    assert [known for known, done in ran.items() if done.returncode != 0] == []
    events = anchored.log.run(anchored.run)
    assert ran["openssl dgst"].stdout == "".join(f"log/{event.seq:08d}.event holds\n" for event in events)
    assert " holds: " in ran["openssl ts"].stdout
    assert ran["grep -cxF"].stdout == "1\n"
    assert "Verified Successfully" in ran["sed '/^$/,$d' \"$t/note\""].stdout
    of_file, of_log = ran["record_sha256"].stdout.splitlines()
    assert f'"record_sha256":"{of_file.split()[0]}"' == of_log


def bent(text: str) -> str:
    """The same with the character in its middle replaced."""
    middle = len(text) // 2
    return text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]


def events_that_do_not_hold(anchored: Checkout) -> tuple[list[str], bool]:
    """What the printed command names, and whether it failed."""
    done = run(anchored.into, commands(anchored)["openssl dgst"])
    bad = [line.split()[0] for line in done.stdout.splitlines() if line.endswith(" DOES NOT HOLD")]
    return bad, done.returncode != 0


def test_each_event_of_an_export_that_was_altered_is_named(anchored: Checkout) -> None:
    anchored.export()
    events = anchored.log.run(anchored.run)
    altered = {"the line": events[1], "the path": events[3], "the root": events[4], "the signature": events[6]}
    for spoil, event in altered.items():
        place = anchored.into / f"log/{event.seq:08d}.event"
        lines = place.read_text(encoding="utf-8").split("\n")
        end_of_proof = lines.index("")
        at = {"the line": 0, "the path": 3, "the root": end_of_proof + 3, "the signature": end_of_proof + 5}[spoil]
        lines[at] = bent(lines[at])
        place.write_text("\n".join(lines), encoding="utf-8")

    named = [f"log/{event.seq:08d}.event" for event in altered.values()]
    assert events_that_do_not_hold(anchored) == (named, True)


def test_under_a_strangers_key_no_event_of_an_export_holds(anchored: Checkout) -> None:
    anchored.export()
    stranger = FileSigner.open_or_create(anchored.root / "stranger.pem")
    for pem in (anchored.root / "elsewhere").rglob("log.pem"):
        pem.write_text(LogKey("deploy.example.org/local", stranger.public).pem, encoding="utf-8")

    named = [f"log/{event.seq:08d}.event" for event in anchored.log.run(anchored.run)]
    assert events_that_do_not_hold(anchored) == (named, True)


def test_an_anchor_of_an_export_that_was_altered_is_named(anchored: Checkout) -> None:
    anchored.export()
    command = commands(anchored)["openssl ts"]
    # A byte of what the authority signed, and one of what it signed with.
    for suffix, at in (("checkpoint", 30), ("tsr", -1)):
        (altered,) = (anchored.into / "anchors").glob(f"*.{suffix}")
        sound = altered.read_bytes()
        content = bytearray(sound)
        content[at] ^= 1
        altered.write_bytes(content)
        done = run(anchored.into, command)
        assert (done.returncode != 0, done.stdout.endswith(" DOES NOT HOLD\n")) == (True, True), suffix
        altered.write_bytes(sound)


def test_an_export_of_a_run_whose_log_changed_its_key_since_verifies_too(anchored: Checkout) -> None:
    key = KeyFile(anchored.root / ".deploy" / "keys" / "local.pem")
    new = FileSigner.open(key.make_successor())
    rotate(anchored.log, anchored.store, new, signer=IN_A_FILE, reason="yearly", actor=ACTOR)
    shutil.rmtree(anchored.root / "elsewhere")
    shutil.copytree(anchored.store / "trust", anchored.root / "elsewhere")
    anchored.export()

    done = run(anchored.into, commands(anchored)["openssl dgst"])
    assert (done.returncode, "DOES NOT HOLD" in done.stdout) == (0, False)


def test_an_anchor_that_is_not_the_logs_hands_out_nothing(anchored: Checkout) -> None:
    one = min((anchored.store / "anchors").glob("*.checkpoint"))
    one.chmod(0o644)
    one.write_bytes(one.read_bytes().replace(b"/local", b"/logal"))

    refused(anchored, RecordTampered, "is not the one the log had at that size")


def test_exporting_twice_is_two_readings(checkout: Checkout) -> None:
    checkout.export()
    checkout.export(into=checkout.root / "again")

    assert [event.type for event in checkout.log.run(checkout.run)][-2:] == ["record.read", "record.read"]


@pytest.mark.parametrize("notes", [{}, {"notes.txt": b"half done\n"}], ids=["nothing found", "a file found"])
def test_the_commands_printed_for_an_abandoned_run_hold(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, notes: Mapping[str, bytes]
) -> None:
    checkout.export(abandoned(checkout, notes))
    monkeypatch.setenv("PATH", os.defpath)
    page = parse((checkout.into / "report.html").read_text(encoding="utf-8"))
    files, listed, *_ = [pre.text for pre in page.all("pre", class_="command")]

    assert run(checkout.into, files).returncode == 0
    of_file, of_log = run(checkout.into, listed).stdout.splitlines()
    assert f'"found_sha256":"{of_file.split()[0]}"' == of_log
    assert [row.attributes["data-type"] for row in page.one("table", id="later").one("tbody").all("tr")] == [
        "lease.released",
        "record.read",
    ]


def test_verify_takes_no_export_for_a_store_that_was_tampered_with(checkout: Checkout) -> None:
    checkout.export()

    with pytest.raises(UsageError, match=r"is an export of one run, not a whole store; its report\.html prints"):
        verify(checkout.into)
    (checkout.store / "EXPORT.txt").write_text("a store, all the same", encoding="utf-8")
    verify(checkout.store)


# --- refused


def refused(checkout: Checkout, error: type[DeployError], match: str, run: str = "", into: Path | None = None) -> None:
    """The export is refused, recorded nowhere, and leaves nothing behind."""
    before, place = checkout.files(), into or checkout.into
    there = sorted(place.rglob("*")) if place.is_dir() else None

    with pytest.raises(error, match=match):
        checkout.export(run, into)

    assert checkout.files() == before
    assert (sorted(place.rglob("*")) if place.is_dir() else None) == there


def test_a_file_changed_after_sealing_is_named_and_nothing_handed_out(checkout: Checkout) -> None:
    place = checkout.store / "runs" / checkout.run / "report.html"
    place.chmod(0o644)
    place.write_bytes(b"all went well")

    refused(checkout, RecordTampered, r"report\.html: was changed after the folder was sealed")


def test_a_link_among_the_keys_hands_out_nothing_that_is_not_the_records(checkout: Checkout) -> None:
    (checkout.store / "trust" / "more").symlink_to(checkout.root / ".deploy" / "keys" / "local.pem")

    refused(checkout, RecordError, "no regular file")


def test_a_run_in_progress_is_refused(checkout: Checkout) -> None:
    writing = RunWriter(checkout.log).open()

    refused(checkout, Refused, "is not closed", run=writing.run)


@pytest.mark.parametrize("run", ["nonsense", "../local", "local-20261122T201500Z-zzzz"])
def test_what_is_no_run_is_refused(checkout: Checkout, run: str) -> None:
    refused(checkout, UsageError, "is no run", run=run)


def test_a_run_nobody_recorded_is_refused(checkout: Checkout) -> None:
    refused(checkout, Refused, "is not in local's record", run="local-20261122T201500Z-0000")
    refused(checkout, Refused, "there is no record", run="staging-20261122T201500Z-0000")


def test_a_run_that_was_only_asked_for_is_refused(checkout: Checkout) -> None:
    run = "local-20261122T201500Z-0001"
    asked = {"request_sha256": SHA, "expires": None, "requested_by": ACTOR}
    checkout.log.append(content_of("request.made", asked), run=run, actor=ACTOR)

    refused(checkout, Refused, "never ran", run=run)


@pytest.mark.parametrize("place", ["/proc/export", "/dev/null/export"])
def test_a_folder_that_cannot_be_written_is_refused_and_nothing_recorded(checkout: Checkout, place: str) -> None:
    refused(checkout, UsageError, "cannot be written", into=Path(place))


def test_words_that_would_change_how_the_rest_reads_are_refused(checkout: Checkout) -> None:
    before = checkout.files()

    with pytest.raises(UsageError, match="--purpose holds characters that cannot be shown"):
        checkout.export(purpose="x\nmade      report.pdf")
    with pytest.raises(UsageError, match="--reader holds characters that cannot be shown"):
        checkout.export(reader="A. Inspector \u202egpj.exe")

    assert (checkout.files(), checkout.into.exists()) == (before, False)


def test_no_room_for_it_is_said_and_the_folder_called_incomplete(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copymode", full)

    with pytest.raises(Refused, match=r"is not whole: .*No space left.*remove it"):
        checkout.export()


def test_a_folder_that_holds_something_is_refused(checkout: Checkout) -> None:
    checkout.into.mkdir()
    (checkout.into / "mine.txt").write_text("x", encoding="utf-8")

    refused(checkout, UsageError, "is not empty")


def test_a_folder_among_the_records_is_refused(checkout: Checkout) -> None:
    refused(checkout, UsageError, "lies among the records", into=checkout.store / "runs" / "copy")


def test_a_run_abandoned_is_handed_out_as_it_was_found(checkout: Checkout) -> None:
    run = abandoned(checkout, {"notes.txt": b"half done\n"})

    checkout.export(run)

    assert (checkout.into / "runs" / run / "notes.txt").read_bytes() == b"half done\n"
    assert parse((checkout.into / "report.html").read_text(encoding="utf-8")).one("h1").text == "Abandoned"


def test_the_list_of_digests_is_not_the_sealed_one(checkout: Checkout) -> None:
    checkout.export()

    closed = next(event for event in checkout.log.run(checkout.run) if event.type == "run.closed")
    sealed = checkout.into / "runs" / checkout.run / "SHA256SUMS"
    assert hashlib.sha256(sealed.read_bytes()).hexdigest() == closed.data["record_sha256"]


def test_what_the_run_was_judged_by_goes_out_with_it(checkout: Checkout) -> None:
    judged_by = preimages.keep(checkout.log.store, {"spec/it.md": b"It shall.\n", "policy.json": b"{}\n"})
    preimages.keep(checkout.log.store, {"of another run": b"another\n"})
    run = RunWriter(checkout.log).open(preimages=judged_by).step("build").close("failed")

    checkout.export(run)

    handed = {path.name: path.read_bytes() for path in (checkout.into / "preimages" / "sha256").iterdir()}
    assert sorted(handed.values()) == [b"It shall.\n", b"{}\n"]
    shown = parse((checkout.into / "report.html").read_text(encoding="utf-8")).one("dl", id="preimages").text
    assert all(name in shown and sha256 in shown for name, sha256 in judged_by.items())


def test_a_run_of_which_a_text_is_gone_is_not_handed_out(checkout: Checkout) -> None:
    judged_by = preimages.keep(checkout.log.store, {"spec/it.md": b"It shall.\n"})
    run = RunWriter(checkout.log).open(preimages=judged_by).step("build").close("failed")
    (checkout.store / preimages.place(judged_by["spec/it.md"])).unlink()

    with pytest.raises(RecordTampered, match="though a run was judged by it"):
        checkout.export(run)
    assert not checkout.into.exists()
