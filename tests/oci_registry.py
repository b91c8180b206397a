"""A real container registry on loopback: the CNCF's distribution, built by `.ci/registry/build` from its Go modules."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import requests

from tests.required_programs import missing

ROOT: Final = Path(__file__).parents[1]


def registry_program() -> Path:
    """What was built; skips, or fails under CI=true, where it was not."""
    version = re.search(r"distribution/v3 (v\S+)", (ROOT / ".ci/registry/go.mod").read_text(encoding="utf-8"))
    assert version is not None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = cache / f"pytest-deploy/registry-{version[1]}/registry"
    return (
        program
        if program.is_file()
        else missing("a container registry", "run .ci/registry/build, which needs Go's module proxy")
    )


@contextmanager
def registry(folder: Path, *, htpasswd: str = "") -> Iterator[str]:
    """Its address, `127.0.0.1:PORT`; with `htpasswd` (its lines) nobody else gets in."""
    program = registry_program()
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\nhttp: {{addr: '{address}'}}\n"
    if htpasswd:
        (folder / "htpasswd").write_text(htpasswd, encoding="utf-8")
        settings += f"auth: {{htpasswd: {{realm: registry, path: {folder}/htpasswd}}}}\n"
    (folder / "registry.yml").write_text(settings, encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "registry.yml"], stdout=log, stderr=log)
    try:
        _await_answer(process, address, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _await_answer(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < until:
        try:
            requests.get(f"http://{address}/v2/", timeout=1)
        except requests.ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"the registry does not answer: {log.read_text(encoding='utf-8')}")
