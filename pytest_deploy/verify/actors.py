"""Who is behind what an event says of who did something, by the roster of a trust set."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Final

_GITHUB: Final = re.compile(r"github:([^:]*)")
_LOCAL: Final = re.compile(r"local:[0-9]+:(.*?)(?:@[^@]*)?", re.DOTALL)
"""What an event says who did it may have any form, where the log's own key wrote it."""


def is_one_of(files: Mapping[str, bytes], signer: str, actors: Collection[str]) -> bool:
    """Whether a signer is one of those who did something. `files` are those of the trust set in force."""
    try:
        person = json.loads(files.get("roles.json", b"{}"))[signer]
        github, local = person["github"], person["local"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False  # nobody whom the roster knows: told where the signature is looked at
    return any(
        actor.lower() == signer
        or (github is not None and (number := _GITHUB.match(actor)) is not None and number[1] == str(github))
        or (local is not None and (user := _LOCAL.fullmatch(actor)) is not None and user[1] == local)
        for actor in actors
    )


def wrote(files: Mapping[str, bytes], signer: str, addresses: Collection[str]) -> bool:
    """Whether one of these addresses of commits, in lower case, is a signer's. `files` as for `is_one_of`."""
    try:
        own = json.loads(files.get("roles.json", b"{}"))[signer]["emails"]
    except (ValueError, KeyError, TypeError, RecursionError):
        own = []
    known = {one.lower() for one in own if isinstance(one, str)} if isinstance(own, list) else set()
    return not {signer, *known}.isdisjoint(addresses)
