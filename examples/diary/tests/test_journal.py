"""The log holds what happened and never what was in it."""

from __future__ import annotations

import json
import logging
import sys

from diary.journal import JsonLines


def line(message: str, *, failing: bool = False, **extra: object) -> dict[str, object]:
    """A log record as the line it becomes."""
    error = None
    if failing:
        try:
            raise ValueError("the participant's words")  # noqa: TRY301  the exception is the input
        except ValueError:
            error = sys.exc_info()
    record = logging.LogRecord("diary", logging.ERROR, __file__, 1, message, None, error)
    vars(record).update(extra)
    parsed: dict[str, object] = json.loads(JsonLines().format(record))
    return parsed


def test_a_line_has_time_severity_message_and_the_fields_given() -> None:
    logged = line("request", fields={"status": 200})

    assert {"time", "severity", "message", "status"} == logged.keys()
    assert ("ERROR", "request", 200) == (logged["severity"], logged["message"], logged["status"])


def test_of_an_exception_the_class_and_the_place_are_logged_and_not_its_message() -> None:
    logged = line("Exception in ASGI application\n", failing=True)

    assert ("Exception in ASGI application", "ValueError") == (logged["message"], logged["exception"])
    assert __file__ in str(logged["at"])
    assert "participant" not in str(logged)
