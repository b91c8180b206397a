"""A command at a terminal of its own: what it prints there, what a person answers, how it ends."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

END = "\x04"
"""Ctrl-D at the beginning of a line: the end of the input."""
LONGEST_S = 60
"""A command that prints nothing for so long waits for an answer to what it was not to ask: its terminal is closed."""


def answered(root: Path, *words: str, answer: str) -> tuple[int, str]:
    """`pytest-deploy WORDS` at a pseudo-terminal in a checkout, and what is typed once it asks; its exit code and all it printed."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from pytest_deploy.cli import main; main()", *words]
    with subprocess.Popen(
        command, cwd=root, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        printed = b""
        while part := _read(ours):
            asked = b"[y/N]" in printed
            printed += part
            if not asked and b"[y/N]" in printed:
                os.write(ours, answer.encode())
        os.close(ours)
        code = process.wait(60)
    return code, printed.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    if not select.select([terminal], [], [], LONGEST_S)[0]:
        return b""
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says EIO where the other end was closed
        return b""
