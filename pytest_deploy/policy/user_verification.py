"""What policy can ask of the keys that people sign with: a FIDO token, and what it says of its use (21 CFR 11.200(a)(1)).

The words are FIDO's: user presence is a touch, user verification a PIN or a finger. A file of policy's own, since verifiers read it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeGuard, get_args

UserVerification = Literal["none", "touch", "pin"]
"""`none`: any key. `touch`: somebody touched the token. `pin`: the token had its PIN, or a finger it knows."""

LEVELS: Final[tuple[UserVerification, ...]] = get_args(UserVerification)
"""The weakest first: what has a PIN has what a touch is asked for."""

IN_WORDS: Final[Mapping[UserVerification, str]] = MappingProxyType(
    {"none": "any key", "touch": "a token that was touched", "pin": "a token and its PIN"}
)


def is_level(value: object) -> TypeGuard[UserVerification]:
    return value in LEVELS


def suffices(found: UserVerification, asked: UserVerification) -> bool:
    """Whether a signature made so is one that policy asks for."""
    return LEVELS.index(found) >= LEVELS.index(asked)
