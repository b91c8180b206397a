"""What somebody may have laid into a store, to be read for ever, into all memory, or outside it; and how to take it away."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

MANY: Final = 20_000
NESTED: Final = 1_500
SPARSE: Final = 1 << 43
"""Eight terabytes of nothing, which take no room."""


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, SPARSE)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    """Zeros without end, where the user may make a device; else a link to them."""
    try:
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    """Made by its short name: a socket's path has 108 bytes at most."""
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def outward(path: Path) -> None:
    path.symlink_to("/")


def nested(path: Path) -> None:
    """Folders in one another, each made from the one before: the whole path is longer than a system call takes."""
    above = os.open(path.parent, os.O_RDONLY)
    name = path.name
    for _ in range(NESTED):
        os.mkdir(name, dir_fd=above)
        below = os.open(name, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above, name = below, "deeper"
    os.close(above)


def many(path: Path) -> None:
    path.mkdir()
    for number in range(MANY):
        os.close(os.open(path / str(number), os.O_CREAT))


KINDS: Final[Mapping[str, tuple[Callable[[Path], None], str]]] = {
    "8 TB": (sparse, "has more than"),
    "a FIFO": (fifo, "regular file"),
    "a device": (device, "regular file"),
    "a socket": (unix_socket, "regular file"),
    "a link to itself": (loop, "regular file"),
    "a link to everything": (outward, "regular file"),
    "1,500 folders in one another": (nested, "folders deep"),
}
"""What is laid under a name that nobody expects, and words that both verifiers say of it."""


def remove(store: Path) -> None:
    """What rmtree would come to the end of its stack with."""
    subprocess.run(["rm", "-rf", "--", str(store)], check=True, timeout=60)
    assert not store.exists()


def deep_json(store: Path, name: str) -> None:
    """20,000 lists in one another in place of what a file says."""
    path = store / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"[" * 20_000 + b"]" * 20_000 + b"\n")


def copied(source: Path, into: Path) -> Path:
    shutil.copytree(source, into, symlinks=True)
    return into
