"""Somebody without rights: root may read and write anywhere, so that a test of a refusal has to become another user."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, gone afterwards: pytest's own are closed to others."""
    home = Path(tempfile.mkdtemp(prefix="pytest-deploy-open-", dir="/var/tmp"))
    home.chmod(0o755)
    try:
        yield home
    finally:
        shutil.rmtree(home)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights for a while; as another user, who has none anyway, nothing changes."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
