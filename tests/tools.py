"""Programs a test needs that not every machine has."""

from __future__ import annotations

import os
import shutil

import pytest

_PACKAGES = {
    "openssl": "openssl",
    "faketime": "faketime",
    "ssh-keygen": "openssh-client",
    "sha256sum": "coreutils",
    "bash": "bash",
    "chromium": "chromium",
}


def needs(program: str) -> None:
    """Skip where the program is missing, saying what to install; under CI=true that is a failure."""
    if shutil.which(program) is not None:
        return
    missing = f"{program} is missing: install Debian's {_PACKAGES.get(program, program)}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
