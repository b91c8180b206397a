"""The log: one JSON object a line on stdout, with Cloud Logging's `severity`, `time` and `message`.

No subject data, no secret: of an exception the line holds its class and where it was raised, never its message,
because a database's message repeats the values it was given.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

log = logging.getLogger("diary")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; `extra={"fields": {...}}` adds keys."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1]:
            error = record.exc_info[1]
            # uvicorn logs some exceptions as the message itself, "Exception in ASGI application" and the like.
            line["message"] = str(record.msg).splitlines()[0]
            line["exception"] = type(error).__name__
            line["at"] = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        return json.dumps(line, default=str)


def start_journal() -> None:
    """Send all logging of the process to stdout as JSON lines, from INFO upwards."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
