"""`pytest-deploy export RUN DIR`: what an inspector is handed of one run, outside the store; the store gets `record.read` and no more.

    DIR/report.html report.pdf        the current report: the run, and what was recorded of it since
        allure.html                   Allure's page of the steps
        runs/RUN/                     the sealed folder, byte for byte
        preimages/                    what it was judged by: specification, policy, calendar, suites, roster, by content
        signoffs/RUN/ trust/          what was signed of it since, and the store's own copies of its keys
        log/00000214.event ...        its events, each with its own proof
        anchors/00000325.checkpoint   the anchors made at one of its events, and their timestamps (.tsr)
        EXPORT.txt SHA256SUMS         what was made, what was not and why; a list of all

Reading is recorded before anything is handed out, and nothing is handed out that is not what was sealed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from pytest_deploy.anchors.kinds import FOLDER
from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import RecordTampered, Refused, UsageError
from pytest_deploy.record import log_entry, preimages, stored_file
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RecordRead
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.record.run_folder import SUMS, listing, plain_files
from pytest_deploy.record.run_id import recover_command
from pytest_deploy.reports.run_page import page_files, render_run
from pytest_deploy.verify.run_files import check_preimages, check_sealed
from pytest_deploy.workspace import Workspace, program_command

_MOST_TOLD: Final = 20
"""Findings of a run that is not what was sealed: somebody may have laid any number of files there."""
_PROVES: Final = """\
report.html is the current report; the sealed one is runs/<run>/report.html. The current one prints the commands that check this
folder, with stock tools alone, and SHA256SUMS lists it: sha256sum --strict -c SHA256SUMS, and the same inside runs/<run>.

They prove, by keys that reached you another way than this folder (a record that brings its own keys proves nothing): the files
are those that were sealed; each event here was in the log, signed with everything before it; each signature is that person's; what a
timestamp in anchors/ covers was there at its time.

They do not prove that these are all the events of the run, nor that the log was not cut or written anew since. Only the whole store
shows that, held against an anchor kept outside it, by this project's verifier or by its own verify.sh, which is for a store, not
for this folder."""


@dataclass
class Export:
    log: Log
    store: Path
    run: str
    into: Path
    root: Path | None = None
    """The checkout, for the register of requirements."""
    made: list[str] = field(default_factory=list)
    not_made: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Refuse a run that is not finished, or whose files are not those that were sealed."""
        events = self.log.run(self.run)
        end = next((event for event in events if event.type in {"run.closed", "run.abandoned"}), None)
        if not events:
            workspace = Workspace.of_store(self.store)
            listed = program_command(
                "history", "--env", workspace.environment, *(["--rehearse"] if workspace.rehearsal else [])
            )
            raise Refused(f"{self.run} is not in {self.store.name}'s record, whose runs are listed by: `{listed}`")
        if all(event.type != "run.opened" for event in events):
            raise Refused(f"{self.run} never ran, it was asked for only: there is nothing sealed to hand out")
        if end is None:
            raise Refused(
                f"{self.run} is not closed: there is nothing sealed to hand out; where its process is gone: `{recover_command(self.run)}`"
            )
        judged_by = preimages.named(events)
        if findings := [*check_sealed(self.store, end), *check_preimages(self.store, judged_by)]:
            told = "".join(f"\n  {finding}" for finding in findings[:_MOST_TOLD])
            told += f"\n  and {len(findings) - _MOST_TOLD} more" if len(findings) > _MOST_TOLD else ""
            raise RecordTampered(f"{self.run} is not what was sealed; nothing was handed out, nothing recorded{told}")

        for folder in [*self._folders(), "anchors"]:
            listing(stored_file.folder_of(self.store, folder))  # a link in it would hand out what is not the record's
        self._anchors(events)

    def begin(self) -> None:
        """Make the folder. Raises UsageError where nothing can be written there, before anything is recorded."""
        try:
            self.into.mkdir(parents=True, exist_ok=True)
            (self.into / "log").mkdir()
        except OSError as error:
            raise UsageError(f"{self.into} cannot be written: {error.strerror}; right is a new folder") from error

    def copy(self, events: Sequence[Event]) -> None:
        for name in self._folders():
            self._copy_folder(name)
            self.made.append(f"{name}/")
        if judged_by := sorted(preimages.named(events)):
            (self.into / preimages.FOLDER / "sha256").mkdir(parents=True)
            for sha256 in judged_by:
                (self.into / preimages.place(sha256)).write_bytes(self.log.store.get(preimages.place(sha256)))
            self.made.append(f"{preimages.FOLDER}/  the {len(judged_by)} texts it was judged by; run.opened names them")
        for event in events:
            name = log_entry.name(event.seq)
            (self.into / name).write_bytes(self.log.store.get(name))
        self.made.append(f"log/  the run's own {len(events)} events")
        if names := self._anchors(events):
            (self.into / FOLDER).mkdir()
            for name in names:
                self._copy_file(name)
            self.made.append(f"anchors/  {', '.join(name.removeprefix(FOLDER) for name in names)}")
        else:
            self.not_made.append("anchors/: none was made at an event of this run; later ones stand in the store")

    def render(self, events: Sequence[Event]) -> None:
        """The current report, and its other forms as far as this machine can make them."""
        ends = {"run.decided", "run.abandoned"}
        cut = next((at + 1 for at, event in enumerate(events) if event.type in ends), len(events))
        shown = page_files(self.store / "runs" / self.run, events[:cut], self.log.run, root=self.root)
        page = render_run(
            events[:cut], checkpoint=self._signed(events[-1]).checkpoint.anchor, files=shown, after=events[cut:]
        )
        (self.into / "report.html").write_text(page, encoding="utf-8")
        self.made.append("report.html")
        results = self.into / "runs" / self.run / "allure-results"
        self._try("report.pdf", partial(print_pdf, self.into / "report.html", self.into / "report.pdf"))
        if results.is_dir():
            self._try("allure.html", partial(allure_page, results, self.into / "allure.html"))
        else:
            self.not_made.append("allure.html: the sealed folder holds no allure-results")

    def conclude(self, event: Event, read: RecordRead) -> list[str]:
        """Say what was made and what was not, in EXPORT.txt too, and list all files; the lines that were said.

        `event`: this export in the record; `read`: what it says.
        """
        lines = [*(f"made      {name}" for name in self.made), *(f"not made  {name}" for name in self.not_made)]
        head = [
            f"Run {self.run} of {self.log.key.origin}, exported {stamp(event.time)} for {read.reader}",
            f"Purpose: {read.purpose}. This export is event {event.seq} of the record.",
            f"Anchor: {self._signed(event).checkpoint.anchor}",
            "",
        ]
        (self.into / "EXPORT.txt").write_text("\n".join([*head, *lines, "", _PROVES]) + "\n", encoding="utf-8")
        sums = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(listing(self.into).items()))
        (self.into / SUMS).write_text(sums, encoding="utf-8")
        return lines

    def _signed(self, event: Event) -> SignedCheckpoint:
        """What the log signed when the event was its newest."""
        return log_entry.parse(self.log.store.get(log_entry.name(event.seq))).signed

    def _anchors(self, events: Sequence[Event]) -> list[str]:
        """Names of the anchors made when one of these events was the newest. Raises RecordTampered where one is another checkpoint."""
        files: list[str] = []
        for event in events:
            name = f"{FOLDER}{event.seq + 1:08d}"
            kept = stored_file.file_of(self.store, f"{name}.checkpoint")
            if not kept.is_file():
                continue
            if stored_file.read(kept) != self._signed(event).text.encode():
                raise RecordTampered(
                    f"{name}.checkpoint is not the one the log had at that size; nothing was handed out, nothing recorded"
                )
            files += [file for file in (f"{name}.checkpoint", f"{name}.tsr") if (self.store / file).is_file()]
        return files

    def _folders(self) -> list[str]:
        wanted = (f"runs/{self.run}", f"signoffs/{self.run}", "trust")
        return [name for name in wanted if stored_file.folder_of(self.store, name).is_dir()]

    def _copy_folder(self, name: str) -> None:
        for item in plain_files(stored_file.folder_of(self.store, name)):
            self._copy_file(f"{name}/{item.name}")

    def _copy_file(self, name: str) -> None:
        """As it lies there now: a link that somebody laid since the check is not followed."""
        (self.into / name).parent.mkdir(parents=True, exist_ok=True)
        source = stored_file.file_of(self.store, name)
        (self.into / name).write_bytes(stored_file.read(source, stored_file.largest(name)))
        shutil.copymode(source, self.into / name, follow_symlinks=False)

    def _try(self, name: str, make: Callable[[], None]) -> None:
        try:
            make()
        except NotMade as why:
            self.not_made.append(f"{name}: {why}")
        else:
            self.made.append(name)


# Programs that make other forms of a report, where the machine has them: Chromium for paper, Allure for its own page.
# Neither is needed. What was not made is said with its reason; what was made asks nothing of the network when it is read.

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_TIME_LIMIT_S: Final = 180
_ANALYTICS: Final = re.compile(r"googletagmanager|google-analytics|\bgtag\b", re.IGNORECASE)
_SCRIPT: Final = re.compile(r"<script\b[^>]*>(?:(?!</script\b).)*</script\s*>", re.IGNORECASE | re.DOTALL)
_NO_NETWORK: Final = (
    """<meta http-equiv="Content-Security-Policy" content="default-src 'unsafe-inline' 'unsafe-eval' data: blob:">"""
)
_LOADER_LENGTH: Final = 4000
"""Characters of a script that does nothing but load or start the analytics; the page's own program is far longer."""


class NotMade(Exception):
    """Why a form could not be made; no fault of the record."""


def print_pdf(page: Path, into: Path) -> None:
    """Print a page to PDF with Chromium, without a network. Raises NotMade."""
    browser = next((name for name in BROWSERS if shutil.which(name)), None)
    if browser is None:
        raise NotMade(f"none of {', '.join(BROWSERS)} is installed (Debian: chromium)")
    with tempfile.TemporaryDirectory() as profile:
        printing = (f"--print-to-pdf={into}", "--no-pdf-header-footer", page.resolve().as_uri())
        _run([browser, *offline_options(Path(profile)), *printing])
    if not into.is_file() or not into.read_bytes().startswith(b"%PDF"):
        raise NotMade(f"{browser} wrote no PDF")


def offline_options(profile: Path) -> list[str]:
    """Options that keep Chromium from anything but its page. `profile`: a new folder."""
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox refuses to start for root
    return [
        *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *(f"--user-data-dir={profile}", *alone),
    ]


def allure_page(results: Path, into: Path) -> None:
    """Make Allure's page of a run, one file, without the analytics its generator puts in. Raises NotMade."""
    if shutil.which("allure") is None:
        raise NotMade("the command allure is not installed (npm: allure)")
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "made"
        version_2 = _run(["allure", "--version"]).strip().startswith("2.")
        arguments = ["generate", "--single-file", "--clean", "-o"] if version_2 else ["awesome", "--single-file", "-o"]
        _run(["allure", *arguments, str(output), str(results)])
        page = output / "index.html"
        if not page.is_file():
            raise NotMade("allure wrote no index.html")
        text = without_analytics(page.read_text(encoding="utf-8"))
    if match := _ANALYTICS.search(text):
        raise NotMade(f"allure's page still holds {match[0]!r} after its analytics were cut out; evidence calls nobody")
    into.write_text(text, encoding="utf-8")


def without_analytics(page: str) -> str:
    """The page without the scripts that load or start web analytics, and under a policy that lets it ask nobody anything.

    Whatever else names the analytics is left, and found.
    """

    def kept(script: re.Match[str]) -> str:
        return "" if len(script[0]) < _LOADER_LENGTH and _ANALYTICS.search(script[0]) else script[0]

    return re.sub(
        r"<head\b[^>]*>", lambda head: head[0] + _NO_NETWORK, _SCRIPT.sub(kept, page), count=1, flags=re.IGNORECASE
    )


def _run(command: Sequence[str]) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMade(f"{command[0]}: {type(error).__name__}: {error}") from error
    if ran.returncode:
        output = (ran.stderr or ran.stdout).strip().splitlines()
        raise NotMade(
            f"{command[0]} ended with {ran.returncode}: {kept_text(output[-1], WORDS_BYTES) if output else 'it said nothing'}"
        )
    return ran.stdout
