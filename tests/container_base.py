"""A base image of this machine's own Python, in podman's store: what `python:3.11-slim` is to those who reach a registry.

/usr/local/bin/{python,pip}, /usr/local/lib/python3.X     the interpreter that runs the tests
/packages                                                 what the diary installs, and pip, in the versions of the tests
/bin/sh, and each library that these name
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from tests.required_programs import needs

_PACKAGES: Final = (
    *("anyio", "click", "h11", "idna", "pip", "psycopg", "psycopg-binary", "starlette", "typing-extensions", "uvicorn"),
)
_LEFT_OUT: Final = frozenset(
    (
        "__pycache__",
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "idlelib",
        "tkinter",
        "turtledemo",
        "ensurepip",
        "lib2to3",
    )
)
_PIP: Final = b'#!/bin/sh\nexec /usr/local/bin/python -m pip "$@"\n'


def base_image() -> str:
    """Its name; made where it is not there. Skips, or fails under CI=true, where there is no podman."""
    needs("podman")
    needs("runc")
    known = [
        sys.version,
        *(f"{name} {distribution(name).version}" for name in _PACKAGES),
        Path(__file__).read_text("utf-8"),
    ]
    name = f"localhost/pytest-deploy-tests/python:{hashlib.sha256(' '.join(known).encode()).hexdigest()[:12]}"
    with Path(tempfile.gettempdir(), f"pytest-deploy-base-{os.geteuid()}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if subprocess.run(["podman", "image", "exists", name], check=False).returncode:
            _make(name)
    return name


def use_base_image(containerfile: Path) -> None:
    """Let a Containerfile name it as its BASE; nothing else of it is changed."""
    name = base_image()
    text, count = re.subn("(?m)^ARG BASE=.*$", f"ARG BASE={name}", containerfile.read_text(encoding="utf-8"))
    assert count == 1
    containerfile.write_text(text, encoding="utf-8")


def _make(name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="base-") as folder:
        archive = Path(folder, "base.tar")
        with tarfile.open(archive, "w") as tar:
            _add(tar, {*_interpreter(), *_packages(), *_libraries()})
            for path, content in (("usr/local/bin/pip", _PIP), ("tmp/.keep", b"")):
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(content), 0o755
                tar.addfile(member, io.BytesIO(content))
        settings = ("PATH=/usr/local/bin:/bin", "PYTHONPATH=/packages")
        changes = [f"--change=ENV {setting}" for setting in settings]
        subprocess.run(["podman", "import", "--quiet", *changes, archive, name], check=True, stdout=subprocess.DEVNULL)


Entry = tuple[str, str]
"""A path in the image, and the file here that lies there."""


def _add(tar: tarfile.TarFile, entries: Iterable[Entry]) -> None:
    for path, source in sorted(entries):
        member = tar.gettarinfo(os.path.realpath(source), path)
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        with Path(source).open("rb") as file:
            tar.addfile(member, file)


def _interpreter() -> Iterator[Entry]:
    python = os.path.realpath(sys.executable)
    yield "usr/local/bin/python", python
    yield "bin/sh", os.path.realpath("/bin/sh")
    library = Path(sysconfig.get_path("stdlib"))
    for path in _below(library):
        yield f"usr/local/lib/{library.name}/{path.relative_to(library)}", str(path)


def _packages() -> Iterator[Entry]:
    for name in _PACKAGES:
        for file in distribution(name).files or ():
            if file.suffix != ".pyc" and ".." not in file.parts:
                yield f"packages/{file}", str(file.locate())


def _libraries() -> Iterator[Entry]:
    """What the loader finds for the interpreter, its modules and the shell, under the very names it finds them by."""
    bundled = sysconfig.get_path("purelib")
    files = [
        source for path, source in {*_interpreter(), *_packages()} if ".so" in Path(path).name or "/bin/" in f"/{path}"
    ]
    ran = subprocess.run(["ldd", *files], check=False, capture_output=True, text=True)
    for line in ran.stdout.splitlines():
        words = line.split()
        found = words[2] if "=>" in words and len(words) > 2 else words[0] if words else ""
        if found.startswith("/") and not found.endswith(":") and not found.startswith(bundled):
            yield found.lstrip("/"), found


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if one not in _LEFT_OUT and not one.startswith("config-")]
        yield from (Path(root, file) for file in files if not file.endswith(".pyc") and file != "EXTERNALLY-MANAGED")
