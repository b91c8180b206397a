"""Writer processes of a test: begun, killed, waited for, and what each was promised."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.verify.verify import verify
from tests.required_programs import needs

ROOT = Path(__file__).parents[3]


@dataclass
class WriterProcesses:
    """See processes.py."""

    home: Path
    process: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def open(cls, home: Path, *bucket: str) -> Iterator[WriterProcesses]:
        """For a record that is there already, in `home` or in a bucket (its name, the path in it)."""
        command = [sys.executable, "-m", "tests.unit.record.forked_writers", str(home), *bucket]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            yield cls(home, process)
        finally:  # with every writer that a failed test left writing
            with process:
                os.killpg(process.pid, signal.SIGKILL)

    def ask(self, *words: object) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(*words, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def writer(self, who: str, count: int, machine: str = "one") -> int:
        return int(self.ask("write", who, count, machine))

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        assert f"{int(signal.SIGKILL)}" == self.ask("reap", pid), "it was still writing"

    def let_go(self) -> None:
        (self.home / "go").touch()

    def acknowledged(self, who: str) -> list[tuple[int, str]]:
        """Whole lines only: a torn one was not received."""
        noted = self.home / f"acknowledged-{who}"
        lines = noted.read_text().split("\n")[:-1] if noted.exists() else []
        return [(int(seq), identity) for seq, identity in (line.split() for line in lines)]


def assert_both_verify(store: Path) -> None:
    needs("openssl")
    found = verify(store, signatures="all")
    assert found.ok, found.findings
    script = ["bash", str(store / "verify.sh"), "--signatures", "all"]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
