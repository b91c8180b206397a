"""A run is handed out as it was sealed, with the current report; reading it is recorded first, and nothing else in the store changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_deploy.errors import DeployError, NotAsked, RecordError, RecordTampered, Refused
from pytest_deploy.export import export
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_id import place_of
from tests.tools import needs
from tests.unit.record.samples import ACTOR, SHA, Writing, deployed, open_log
from tests.unit.report.parsed import parse

CONFIGURATION = Path(__file__).parents[2]


class Checkout:
    """A checkout with a record of one closed run, and on it neither Chromium nor Allure."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("deploy.yaml", "calendar.yaml"):
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
        said: list[str] = []
        export(self.root, run or self.run, into or self.into, reader=reader, purpose=purpose, say=said.append)
        return said

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.store)): p.read_bytes() for p in sorted(self.store.rglob("*")) if p.is_file()}


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
    checkout.log.append("signoff.signed", signed | more, run=checkout.run, actor=ACTOR)

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


def test_exporting_twice_is_two_readings(checkout: Checkout) -> None:
    checkout.export()
    checkout.export(into=checkout.root / "again")

    assert [event.type for event in checkout.log.run(checkout.run)][-2:] == ["record.read", "record.read"]


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
    writing = Writing(checkout.log).open()

    refused(checkout, Refused, "is not closed", run=writing.run)


@pytest.mark.parametrize("run", ["nonsense", "../local", "local-20261122T201500Z-zzzz"])
def test_what_is_no_run_is_refused(checkout: Checkout, run: str) -> None:
    refused(checkout, NotAsked, "is no run", run=run)


def test_a_run_nobody_recorded_is_refused(checkout: Checkout) -> None:
    refused(checkout, Refused, "is not closed", run="local-20261122T201500Z-0000")
    refused(checkout, Refused, "there is no record", run="staging-20261122T201500Z-0000")


def test_a_folder_that_holds_something_is_refused(checkout: Checkout) -> None:
    checkout.into.mkdir()
    (checkout.into / "mine.txt").write_text("x", encoding="utf-8")

    refused(checkout, NotAsked, "is not empty")


def test_a_folder_among_the_records_is_refused(checkout: Checkout) -> None:
    refused(checkout, NotAsked, "lies among the records", into=checkout.store / "runs" / "copy")


def test_a_run_abandoned_is_handed_out_as_it_was_found(checkout: Checkout) -> None:
    writing = Writing(checkout.log).open()
    writing.folder.create("notes.txt", b"half done\n")
    writing.add(
        "run.abandoned", {"cause": "its process was gone", "found_sha256": writing.folder.seal(sums="FOUND.SHA256SUMS")}
    )
    assert writing.lease is not None
    writing.lease.release()

    checkout.export(writing.run)

    assert (checkout.into / "runs" / writing.run / "notes.txt").read_bytes() == b"half done\n"
    assert parse((checkout.into / "report.html").read_text(encoding="utf-8")).one("h1").text == "Abandoned"


@pytest.mark.parametrize(
    "run,place",
    [
        ("local-20261122T201500Z-4f1c", ("local", False)),
        ("rehearsal-sponsor-a-20261122T201500Z-4f1c", ("sponsor-a", True)),
    ],
)
def test_a_runs_name_says_where_its_record_lies(run: str, place: tuple[str, bool]) -> None:
    assert place_of(run) == place


def test_the_list_of_digests_is_not_the_sealed_one(checkout: Checkout) -> None:
    checkout.export()

    closed = next(event for event in checkout.log.run(checkout.run) if event.type == "run.closed")
    sealed = checkout.into / "runs" / checkout.run / "SHA256SUMS"
    assert hashlib.sha256(sealed.read_bytes()).hexdigest() == closed.data["record_sha256"]
