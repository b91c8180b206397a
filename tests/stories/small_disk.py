"""A disk of its own for the record, which a test can fill up or make read-only: a small tmpfs, mounted as root."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from tests.project_checkout import Checkout

SIZE_MIB = 64
Trouble = Literal["full", "read-only"]


@dataclass(frozen=True)
class Disk:
    """Mounted at `reports/` of a checkout."""

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / ".filler"

    def trouble(self, kind: Trouble) -> None:
        """From here on no object can be written."""
        if kind == "read-only":
            _mount("-o", "remount,ro", str(self.folder))
            return
        try:
            with self._filler.open("wb", buffering=0) as filler:
                while filler.write(bytes(4096)):
                    pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def mended(self) -> None:
        """There is room again, and it may be written."""
        _mount("-o", "remount,rw", str(self.folder))
        self._filler.unlink(missing_ok=True)


@contextmanager
def own_disk(checkout: Checkout) -> Iterator[Disk]:
    """`reports/` on a disk of its own, with all that lies in it; afterwards the folder is what it was before.

    Skips where nothing may be mounted: that takes root's rights, which a container may withhold.
    """
    folder = checkout.path / "reports"
    aside = folder.with_name("reports.aside")
    if os.geteuid() != 0:
        pytest.skip("a disk can be mounted by root alone: run the tests as root to see it")
    folder.rename(aside)
    try:
        folder.mkdir()
        try:
            _mount("-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=755", "tmpfs", str(folder))
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no disk can be mounted here: {error.stderr.decode().strip()}")
        try:
            shutil.copytree(aside, folder, dirs_exist_ok=True, symlinks=True)
            yield Disk(folder)
        finally:
            subprocess.run(["umount", str(folder)], check=True, capture_output=True, timeout=30)
    finally:
        folder.rmdir()
        aside.rename(folder)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True, timeout=30)
