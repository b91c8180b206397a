"""What comes from outside, kept within a limit: its beginning, its end, its length and the SHA-256 of all of it.

A service, a check or a vendor's program may say a line or gigabytes. Whoever reads them keeps no more than was agreed:

    the first half of the limit… [1,234,567 of 1,300,000 bytes cut; SHA-256 of all: 9f86…] …the last half

The dots tell whoever cuts secrets that a part of one may stand beside them.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OUTPUT_BYTES: Final = 1_000_000
"""Of each stream of a program that are kept where its reader sets no other limit."""
WORDS_BYTES: Final = 2_000
"""Of what a server or a program says when it refuses, where it goes into a message."""
_CHUNK: Final = 64 * 1024


@dataclass(frozen=True)
class Kept:
    """What is left of something read."""

    head: bytes
    tail: bytes
    """Empty where nothing was cut: then `head` is all of it."""
    length: int
    """Bytes that there were."""
    sha256: str
    """Of all of them, 64 hex."""

    @property
    def cut(self) -> bool:
        """Whether it is not all that there was."""
        return self.length > len(self.head) + len(self.tail)

    @property
    def text(self) -> str:
        """It as text, what is no UTF-8 replaced; what was cut is said in its place."""
        head, tail = (part.decode("utf-8", "replace") for part in (self.head, self.tail))
        if not self.cut:
            return head + tail
        lost = self.length - len(self.head) - len(self.tail)
        return f"{head}… [{lost:,} of {self.length:,} bytes cut; SHA-256 of all: {self.sha256}] …{tail}"


class Keeper:
    """Takes bytes as they come and keeps at most `limit` of them, half from each end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head, self._tail = bytearray(), bytearray()
        self._length = 0
        self._digest = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._length += len(chunk)
        self._digest.update(chunk)
        room = self._limit - self._limit // 2 - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        # Cut now and then, not for each chunk: moving the end forward costs as much as it is long.
        if len(self._tail) > self._limit + _CHUNK:
            del self._tail[: len(self._tail) - self._limit // 2]

    def kept(self) -> Kept:
        """What is left by now."""
        tail = bytes(self._tail)
        if self._length > self._limit:
            tail = tail[len(tail) - self._limit // 2 :]
        return Kept(bytes(self._head), tail, self._length, self._digest.hexdigest())


def kept(content: bytes, limit: int) -> Kept:
    """Of something that is here already at most `limit` bytes."""
    keeper = Keeper(limit)
    keeper.add(content)
    return keeper.kept()


def kept_text(text: str, limit: int) -> str:
    """Of a text at most `limit` bytes of UTF-8, and what was cut."""
    return text if len(text) * 4 <= limit else kept(text.encode("utf-8", "backslashreplace"), limit).text


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what is kept of what it printed."""

    code: int
    stdout: Kept
    stderr: Kept


def run_bounded(
    words: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float,
    limit: int = OUTPUT_BYTES,
) -> Ran:
    """Run a program without input, and keep at most `limit` bytes of each of its streams, however much it prints.

    Raises OSError where it cannot be run, subprocess.TimeoutExpired where it, or whoever holds its output, is not done in time;
    it is killed then, as at any other exception.
    """
    until = time.monotonic() + timeout_s
    process = subprocess.Popen(
        words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        try:
            keepers = _read(process, until, limit, timeout_s)
            process.wait(max(0.0, until - time.monotonic()))
        except BaseException:
            process.kill()
            raise
    stdout, stderr = (keeper.kept() for keeper in keepers)
    return Ran(process.returncode, stdout, stderr)


def _read(process: subprocess.Popen[bytes], until: float, limit: int, timeout_s: float) -> tuple[Keeper, Keeper]:
    keepers = Keeper(limit), Keeper(limit)
    with selectors.DefaultSelector() as selector:
        for stream, keeper in zip((process.stdout, process.stderr), keepers, strict=True):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, keeper)
        while selector.get_map():
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
            for key, _ in selector.select(left_s):
                chunk = os.read(key.fd, _CHUNK)
                if chunk:
                    key.data.add(chunk)
                else:
                    selector.unregister(key.fileobj)
    return keepers
