"""A checkout whose record somebody else can write to, and a command of it as a child process with bounded time and memory."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.commands import sign_off
from tests.child_process import environ_without_pytest
from tests.unit.commands import finished_runs
from tests.unit.commands.finished_runs import FinishedRuns
from tests.unit.commands.typed import typed
from tests.unit.record.sample_record import RunWriter
from tests.unit.sample_environment import REPOSITORY

MEMORY = 1 << 30
"""Bytes that a command may have: no file of 8 TB fits."""
TIME_S = 100
"""Seconds, of a machine that is busy with other tests; a FIFO that is waited for never ends."""
SECRET = b"what lies outside the store"


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        return self.stdout + self.stderr


@dataclass(frozen=True)
class HostileCheckout:
    """A copy of the finished runs beside a folder that no command has any business in."""

    it: FinishedRuns
    size: int
    """Events."""
    trust_set: str
    """The folder of the newest."""

    @property
    def store(self) -> Path:
        return self.it.store

    @property
    def outside(self) -> Path:
        return self.it.root.parent / "outside"

    @property
    def exported(self) -> Path:
        return self.it.root.parent / "exported"

    @property
    def index(self) -> Path:
        """The file that `history` keeps its index in."""
        mark = hashlib.sha256(str(self.store.resolve()).encode()).hexdigest()[:8]
        return self.it.root / ".deploy" / "history" / f"rehearsal-production-{mark}.sqlite"

    def place(self, name: str) -> str:
        """A name of the store in which RUN, SET, NEWEST and NEXT stand for this record's own."""
        known = {"RUN": self.it.deployed, "SET": self.trust_set, "SIZE": f"{self.size:08d}"}
        known |= {"NEWEST": f"{self.size - 1:08d}.event", "NEXT": f"{self.size:08d}.event"}
        for word, meant in known.items():
            name = name.replace(word, meant)
        return name

    def led_out(self, name: str) -> None:
        """Move a part of the record out of the store, and leave a link in its place: whoever follows it finds all as it was."""
        path, away = self.store / self.place(name), self.outside / "moved"
        if path.exists():
            path.rename(away)
        else:
            away.write_bytes(SECRET)
        if away.is_dir():
            (away / "not-of-the-record").write_bytes(SECRET)
        path.symlink_to(away)

    def run(self, *words: str) -> Ended:
        """`python deploy.py WORDS` in the checkout. Fails where it does not end."""
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "deploy.py"), *(self.place(word) for word in words)],
            cwd=self.it.root, env=environ_without_pytest(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIME_S, check=False, preexec_fn=_limited,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    def untouched(self) -> Mapping[str, tuple[int, int, int]]:
        """What shows whether anything outside was written or read: of each file its size, and when it was changed and read."""
        files = (path for path in (self.outside, *sorted(self.outside.rglob("*"))) if not path.is_symlink())
        states = {str(path.relative_to(self.outside)): path.stat() for path in files}
        return {
            name: (state.st_size, state.st_mtime_ns, 0 if (self.outside / name).is_dir() else state.st_atime_ns)
            for name, state in states.items()
        }

    def forget_reads(self) -> None:
        """Let each file outside look as if it was read long ago: a file system notes the next time it is."""
        for path in self.outside.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.utime(path, ns=(1, path.stat().st_mtime_ns))


def build(home: Path) -> HostileCheckout:
    """Write the record: two runs that are over, a sign-off, an anchor."""
    (home / "keys").mkdir()
    it = finished_runs.build(home / "checkout", home / "keys")
    RunWriter(it.log, it.open).close("failed")
    asked = {"role": "QA Lead", "meaning": "reviewed", "comment": ""}
    typed(it.root, sign_off.sign_off, it.deployed, printed=it.printed, key=it.key("quinn"), **asked)
    kept = it.log.signed()
    it.log.store.create(f"anchors/{kept.checkpoint.size:08d}.checkpoint", kept.text.encode())
    newest = [event for event in it.log.events() if event.type.startswith("key.")][-1]
    return HostileCheckout(it, kept.checkpoint.size, newest.data["set"].removeprefix("trust/"))


def copy(made: HostileCheckout, home: Path) -> HostileCheckout:
    copied = HostileCheckout(finished_runs.copy(made.it, home / "checkout"), made.size, made.trust_set)
    copied.outside.mkdir()
    return copied


def holds(folder: Path, content: bytes) -> bool:
    """Whether any file in a folder has this in it."""
    return any(content in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def remove(home: Path) -> None:
    """What rmtree would come to the end of its stack with."""
    subprocess.run(["rm", "-rf", "--", str(home)], check=True, timeout=60)


def notes_reads(folder: Path) -> bool:
    """Whether the file system notes when a file was read."""
    file = folder / "read"
    file.write_bytes(SECRET)
    os.utime(file, ns=(1, file.stat().st_mtime_ns))
    file.read_bytes()
    noted = file.stat().st_atime_ns > 1
    file.unlink()
    return noted


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
