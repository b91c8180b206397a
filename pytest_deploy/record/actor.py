"""Who did it, as an event's `actor` says: a part of the system, or the person this process belongs to."""

from __future__ import annotations

import os
import pwd
import re
import socket
from typing import Final

PIPELINE_ACTOR: Final = "system:pipeline"
STEP_ACTOR: Final = "system:step"
SIGNER: Final = re.compile(r"[a-z0-9$%&'/=^_`{|}~.-]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
"""The address a person signs under: what JSON, allowed_signers and every verifier write alike, and no letter of another
writing that looks like one of these. It matches nobody but itself: no `*`, `?`, `!` or comma, of which allowed_signers
makes patterns; no `+`, behind which one mailbox has many addresses."""
_NO_LETTER: Final = (
    "\x00-\x20\x7f-\xa0\xad\u115f\u1160\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufeff\uffa0"
)
"""Blanks, controls, and what a reader does not see."""
PRINTED_NAME: Final = re.compile(f"[^{_NO_LETTER}]+( [^{_NO_LETTER}]+)*")
"""A name as it is printed beside a signature: words with one space between, and nothing that is not seen."""


def local_user() -> str:
    """The user name of this process, as the system knows it; `LOGNAME` and `USER` say what anybody wants them to."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a number without a name, as in some containers
        return str(os.getuid())


def local_actor() -> str:
    """`local:<uid>:<user>@<host>`: who runs a deployment outside CI."""
    return f"local:{os.getuid()}:{local_user()}@{socket.gethostname()}"
