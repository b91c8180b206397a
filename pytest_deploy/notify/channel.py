"""One message to one channel, through Apprise: chat, mail or a web hook, whatever its address names.

Source: Apprise's addresses (`slack://…`, `mailtos://…`, `msteams://…`, `json://…`). An address holds what lets anybody write there:
it is a secret, and stands in no message of ours.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Sequence
from typing import Final

from pytest_deploy.errors import UsageError

ANSWER_S: Final = 15.0
"""Seconds that a channel has to take a message; Apprise itself waits for four to connect, and as long for an answer."""
INSTALL: Final = "Apprise, which tells people, is not installed: pip install 'pytest-deploy[notify]'"


def send(address: str, subject: str, lines: Sequence[str]) -> str:
    """Hand a message over; empty where the channel took it, else why not, in Apprise's words: they may hold the address.

    Raises UsageError where Apprise is not installed.
    """
    with _Listening() as said, warnings.catch_warnings():
        # What Apprise's own modules import is its affair; they are imported when an address asks for them.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import apprise
        except ImportError:
            raise UsageError(INSTALL) from None
        target = apprise.Apprise()
        if not target.add(address):
            return "the address is none that Apprise reads: right is e.g. slack://…, mailtos://… or json://…"
        taken: list[bool] = []

        def hand_over() -> None:
            taken.append(bool(target.notify(title=subject, body="\n".join(lines), body_format="text")))

        # A thread of its own: what hangs in a library keeps nobody from ending.
        thread = threading.Thread(target=hand_over, name="deploy-notify", daemon=True)
        thread.start()
        thread.join(ANSWER_S)
        if not taken:
            return f"no end within {ANSWER_S:g} s" if thread.is_alive() else "it ended with an error of its own"
        return "" if taken[0] else "; ".join(said) or "it was not taken, and nothing says why"


class _Listening(logging.Handler):
    """What Apprise and its HTTP client log, in place of whoever else would: their words may hold an address."""

    _LOGGERS: Final = ("apprise", "urllib3")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: list[str] = []
        self._before: list[tuple[logging.Logger, bool, int]] = []

    def __enter__(self) -> list[str]:
        for logger in map(logging.getLogger, self._LOGGERS):
            self._before.append((logger, logger.propagate, logger.level))
            logger.propagate = False
            logger.setLevel(logging.WARNING)
            logger.addHandler(self)
        return self._said

    def __exit__(self, *_: object) -> None:
        for logger, propagate, level in self._before:
            logger.removeHandler(self)
            logger.propagate = propagate
            logger.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(" ".join(record.getMessage().split()))
