"""What an id of a requirement is: the one definition, for marks, registers and questions."""

from __future__ import annotations

import re
from typing import Final

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
FORM: Final = "letters, digits, `-`, `_` and `.`, a letter or digit first, at most 80 characters, e.g. PARCEL-12"
_STANDARD: Final = re.compile(r"REQ-o0004[34]-[A-T]")


def is_id(text: str) -> bool:
    """Whether a text can name a requirement."""
    return ID.fullmatch(text) is not None


def is_standard(name: str) -> bool:
    """Whether it is an assertion of this program's own specification: its standard steps name them in every project."""
    return _STANDARD.fullmatch(name) is not None
