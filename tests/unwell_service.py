"""A service that misbehaves, as a process of its own: real sockets, real deaths. The path that is asked says how.

/well /failed /other /notjson       at once, 200
/big?bytes=N    N bytes, as fast as they go, without saying how many
/trickle        200, then a byte each 0.1 s for 40 s            /dribble   one letter of a header each 0.1 s
/slow?s=N       an answer after N seconds                       /torn      half of what was promised, then a closed connection
/die            an answer, and the process ends right after it
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PROGRAM = r"""
import http.server, os, sys, threading, time, urllib.parse

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    def do_GET(self):
        path, _, query = self.path.partition("?")
        given = dict(urllib.parse.parse_qsl(query))
        getattr(self, path[1:])(**given)
    def whole(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def well(self): self.whole(b'{"status": "ok"}')
    def failed(self): self.whole(b'{"status": "failed"}')
    def notjson(self): self.whole(b"all is well")
    def sick(self): self.whole(b"", 503)
    def slow(self, s):
        time.sleep(float(s))
        self.well()
    def big(self, bytes):
        self.send_response(200)
        self.end_headers()
        for _ in range(int(bytes) // 1_000_000): self.wfile.write(b"x" * 1_000_000)
        self.wfile.write(b"x" * (int(bytes) % 1_000_000))
    def trickle(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(400):
            self.wfile.write(b" ")
            time.sleep(0.1)
    def dribble(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        for _ in range(400):
            self.wfile.write(b"x")
            time.sleep(0.1)
    def torn(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 500)
    def die(self):
        self.well()
        self.wfile.flush()
        self.connection.close()
        os._exit(9)
    def log_message(self, *words): pass
    def handle(self):
        try: super().handle()
        except (BrokenPipeError, ConnectionResetError): pass

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
server = Server(("127.0.0.1", int(sys.argv[1])), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""


@dataclass
class UnwellService:
    """The running process."""

    process: subprocess.Popen[str]
    url: str

    def send(self, signum: int) -> None:
        os.kill(self.process.pid, signum)

    def ended(self, within_s: float = 10) -> int:
        """The code with which it ended."""
        return self.process.wait(within_s)


@contextmanager
def unwell_service(port: int = 0) -> Iterator[UnwellService]:
    """It, until the block is left."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield UnwellService(process, f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
