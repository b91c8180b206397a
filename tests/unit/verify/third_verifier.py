"""A third party's verifier, in Go, beside our two: `peer/*.go`, written from docs/record-format.md alone.

Tree, inclusion, consistency and signed notes are golang.org/x/mod/sumdb's, signatures golang.org/x/crypto/ssh's. It is compiled
once for all workers of a test session, when a test first asks, with what Debian packages: nothing is fetched.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pytest_deploy.record import log_entry as entries
from tests.conftest import skip_or_fail_missing
from tests.required_programs import needs
from tests.unit.verify.second_verifier import both

LIBRARIES = {"mod": "sumdb/tlog", "crypto": "ssh"}
INSTALLED = Path("/usr/share/gocode")
SOURCES = Path(__file__).parent / "peer"


@dataclass(frozen=True)
class Peer:
    program: Path

    def says(self, store: Path, *, trust_root: str = "") -> tuple[bool, str]:
        """Whether it verifies, and "SIZE ROOT" or what is wrong, its file first."""
        ok, text = self._run(store, trust_root)
        return ok, text.partition("\n")[0]

    def notes(self, store: Path) -> list[str]:
        return [line.removeprefix("note: ") for line in self._run(store, "")[1].split("\n")[1:]]

    def _run(self, store: Path, trust_root: str) -> tuple[bool, str]:
        rooted = ["-trust-root", trust_root] if trust_root else []
        command = [str(self.program), *rooted, str(store)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) in {(0, ""), (1, "")}, done
        return done.returncode == 0, done.stdout.rstrip("\n")


def is_installed() -> bool:
    return shutil.which("go") is not None and not _missing_libraries()


def _missing_libraries() -> list[str]:
    folder = INSTALLED / "src" / "golang.org" / "x"
    return [name for name, package in LIBRARIES.items() if not (folder / name / package).is_dir()]


def required_peer(shared_folder: Path) -> Peer:
    """The program. Where Go is missing the test is skipped, saying what to install; under CI=true that is a failure."""
    needs("go")
    for name in _missing_libraries():
        skip_or_fail_missing(f"Go's x/{name}", f"apt-get install golang-golang-x-{name}-dev")
    return _compiled(shared_folder)


@cache
def _compiled(shared_folder: Path) -> Peer:
    folder = shared_folder / "peer"
    with _locked(shared_folder / "peer.lock"):
        if not (folder / "peer").exists():
            _compile(folder)
    return Peer(folder / "peer")


def _compile(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    offline = {"GO111MODULE": "off", "GOPATH": str(INSTALLED), "GOPROXY": "off"}
    cached = {"GOCACHE": str(folder / "cache"), **os.environ}
    done = subprocess.run(
        ["go", "build", "-o", str(folder / "new"), *map(str, sorted(SOURCES.glob("*.go")))],
        env={**cached, **offline},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "cache", ignore_errors=True)
    (folder / "new").rename(folder / "peer")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class ThirdOpinion:
    """Where the program is compiled; `tests/unit/conftest.py` says it before the first test."""

    shared_folder: Path | None = None


def third_opinion(store: Path, *, trust_root: str = "") -> tuple[bool, str] | None:
    """What the third verifier says of a store; None where Go is missing, which under CI=true is a failure."""
    if not is_installed() and os.environ.get("CI") != "true":
        return None
    assert ThirdOpinion.shared_folder is not None
    return required_peer(ThirdOpinion.shared_folder).says(store, trust_root=trust_root)


def all_three(store: Path, *, trust_root: str = "") -> tuple[bool, str]:
    """The verdict and the bad file on which our two agree, as `both` has it; the third agrees too.

    It names events alone: the bad one, or the one whose signed file is bad.
    """
    ok, place = both(store, trust_root=trust_root)
    third = third_opinion(store, trust_root=trust_root)
    if third is not None:
        assert third[0] == ok, (place, third)
        assert ok or place in _places(store, third[1]), (place, third)
    return ok, place


def _places(store: Path, said: str) -> set[str]:
    """What our two may name where the third says this: its event, and the files that the event binds."""
    place = said.partition(": ")[0]
    if not place.startswith("log/"):
        return {place}
    data = entries.parse((store / place).read_bytes()).event.data
    signed = str(data.get("file", place))
    kept = data.get("preimages", {}).values()
    return {place, signed, f"{signed}.sig", *(f"preimages/sha256/{name}" for name in kept)}
