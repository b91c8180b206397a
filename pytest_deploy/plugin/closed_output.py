"""A reader that is gone (`| head`, a CI agent that died, a closed terminal) stops no deployment: what nobody reads is not written."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


def redirect_to_devnull(descriptor: int) -> None:
    """Let a descriptor lead nowhere, and every copy of it: pytest keeps one while it catches output, others keep theirs."""
    gone = identity(descriptor)
    copies = {descriptor}
    if gone is not None:
        copies |= {copy for copy in map(int, os.listdir("/dev/fd")) if identity(copy) == gone}  # noqa: PTH208 -- names alone
    # Where it was closed this may get its number, as any file opened next would: then the terminal's words stood in that file.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for copy in copies - {nowhere}:
        os.dup2(nowhere, copy, inheritable=copy <= 2)  # noqa: PLR2004 -- the standard three
    if nowhere not in copies:
        os.close(nowhere)


def identity(descriptor: int) -> tuple[int, int] | None:
    """What tells the open file behind a descriptor from any other; None where it is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Unread(io.FileIO):
    """A descriptor that takes what nobody reads any more."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            redirect_to_devnull(self.fileno())
            return memoryview(data).nbytes


def write_without_reader() -> None:
    """Let this process's standard streams outlive their readers, and be there where they were closed from the start.

    Else the first file that is opened got their number, and the words of this process or of a child stood in that file.
    """
    for descriptor in (0, 1, 2):
        if identity(descriptor) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(descriptor, True)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        known = getattr(sys, name) or io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
        raw = _Unread(descriptor, "wb", closefd=False)
        setattr(
            sys,
            name,
            io.TextIOWrapper(
                raw if known.write_through else io.BufferedWriter(raw),  # the first under `python -u`
                encoding=known.encoding,
                errors=known.errors,
                line_buffering=known.line_buffering,
                write_through=known.write_through,
            ),
        )
