"""An RFC 3161 authority on this machine: real `openssl ts -reply` behind HTTP, with a certificate of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests import http_stand_in

_CONFIG = """\
[tsa]
default_tsa = mine
[mine]
serial = {home}/serial
crypto_device = builtin
signer_cert = {home}/tsa.pem
certs = {home}/tsa.pem
signer_key = {home}/tsa.key
default_policy = 1.2.3.4
digests = sha256
signer_digest = sha256
"""


@dataclass
class Authority:
    """What it does; change it while it serves."""

    home: Path
    asked: list[bytes] = field(default_factory=list)
    answers: list[tuple[int, str, bytes]] = field(default_factory=list)
    """Status, type and body of the next answers, in place of timestamps."""

    @property
    def certificate(self) -> Path:
        return self.home / "tsa.pem"

    def openssl(self, *arguments: str, given: bytes = b"") -> bytes:
        return subprocess.run(
            ["openssl", *arguments], cwd=self.home, input=given, check=True, capture_output=True, timeout=30
        ).stdout

    def reply(self, query: bytes) -> bytes:
        (self.home / "query").write_bytes(query)
        return self.openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query")


def authority(home: Path, *, days: int = 3650) -> Authority:
    """A new authority, its key and certificate in `home`."""
    home.mkdir(parents=True, exist_ok=True)
    made = Authority(home)
    made.openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "tsa.key"),
        *("-out", "tsa.pem", "-days", str(days), "-subj", "/CN=Test TSA"),
        *("-addext", "extendedKeyUsage=critical,timeStamping"),
    )
    (home / "serial").write_text("01\n")
    (home / "tsa.cnf").write_text(_CONFIG.format(home=home))
    return made


@contextmanager
def serving(made: Authority) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            made.asked.append(query)
            assert self.headers["Content-Type"] == "application/timestamp-query"
            status, kind, body = (
                made.answers.pop(0) if made.answers else (200, "application/timestamp-reply", made.reply(query))
            )
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http_stand_in.serving(Handler) as url:
        yield f"{url}/tsr"
