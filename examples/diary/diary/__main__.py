"""`python -m diary`: serve under the Cloud Run container contract until SIGTERM.

Exit status: 0 stopped as asked, 1 could not start, 2 the environment is not valid.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from types import FrameType

import uvicorn

from diary.journal import log, start_journal
from diary.settings import Fault, Settings, SettingsError
from diary.web import make_app

GRACE_SECONDS = 8
"""For requests under way at SIGTERM; the platform kills after 10."""


def main() -> int:
    """Serve; returns the exit status."""
    start_journal()
    # uvicorn finishes the requests under way, then raises the signal again: that ends the process with status 0.
    signal.signal(signal.SIGTERM, _stopped)
    try:
        settings = Settings.read(os.environ)
    except SettingsError as error:
        log.critical("the environment is not valid", extra={"fields": {"faults": error.faults}})
        return 2
    if settings.fault is Fault.STARTUP:
        log.critical("told not to start: FAULT=startup")
        return 1
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=128)
    except OSError as error:
        log.critical("cannot listen", extra={"fields": {"port": settings.port, "cause": error.strerror}})
        return 1
    with listener:
        config = uvicorn.Config(
            make_app(settings),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        started = {"port": listener.getsockname()[1], "version": settings.version, "revision": settings.revision}
        log.info("listening", extra={"fields": started})
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _stopped(_signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
