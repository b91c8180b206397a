"""What a failed step found in place of what was expected, in one line: why it failed, before any traceback."""

from __future__ import annotations

import json
import re
from typing import Final

_CHARS: Final = 60
"""Of either value; the step's event has them whole."""
_SAYS_LITTLE: Final = re.compile(r"(AssertionError: )?assert |AssertionError$|$")
"""Messages that only repeat the values, as pytest writes a bare `assert`."""


def summarize_failure(expected: object, actual: object, message: str) -> str:
    """`expected 200, got 500` where the step stated both and its message says no more; else the message."""
    values = [value if isinstance(value, str) else json.dumps(value, default=str) for value in (expected, actual)]
    if values[0] == values[1] or max(map(len, values)) > _CHARS or not _SAYS_LITTLE.match(message):
        return message
    return f"expected {values[0]}, got {values[1]}"
