"""Programs a test needs that not every machine has."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

_PACKAGES = {
    "openssl": "Debian's openssl",
    "faketime": "Debian's faketime",
    "ssh-keygen": "Debian's openssh-client",
    "sha256sum": "Debian's coreutils",
    "bash": "Debian's bash",
    "chromium": "Debian's chromium",
    "go": "Debian's golang-go, golang-golang-x-crypto-dev and golang-golang-x-mod-dev",
    "allure": "npm's allure",
    "node": "Debian's nodejs",
    "podman": "Debian's podman and runc",
    "runc": "Debian's runc",
    "buildah": "Debian's buildah",
    "actionlint": "rhysd's actionlint by Go, as .ci/run does",
    **dict.fromkeys(("act", "zizmor", "check-jsonschema", "pre-commit"), "requirements/test.txt"),
}


def needs(program: str) -> None:
    """Skip where the program is missing, saying what to install; under CI=true that is a failure."""
    path_of(program)


def path_of(program: str) -> str:
    """Where a program lies, beside the interpreter that runs the tests or on PATH; ends the test as `needs` does."""
    beside = Path(sys.executable).with_name(program)
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(program)
    return found or missing(program, f"install {_PACKAGES[program]}")


def missing(what: str, remedy: str) -> NoReturn:
    """Skip, saying what is missing and what to do; under CI=true that is a failure."""
    message = f"{what} is missing: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
