"""Who is behind what an event says of who did something, by the roster of a trust set."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from pytest_deploy.record.key import ROSTER
from pytest_deploy.record.signed_roster import administrators, read_statement

_GITHUB: Final = re.compile(r"github:([^:]*)")
_LOCAL: Final = re.compile(r"local:[^:]*:(.*?)(?:@[^@]*)?", re.DOTALL)
"""What an event says who did it may have any form, where the log's own key wrote it."""


def is_one_of(files: Mapping[str, bytes], signer: str, actors: Collection[str]) -> bool:
    """Whether a signer is one of those who did something. `files` are those of the trust set in force."""
    person = _entry(files, signer)
    if person is None:
        return False  # nobody whom the roster knows: told where the signature is looked at
    github, local, addresses = person.get("github"), person.get("local"), _addresses(person, signer)
    return any(
        actor.lower() in addresses
        or (github is not None and (number := _GITHUB.match(actor)) is not None and number[1] == str(github))
        or (local is not None and (user := _LOCAL.fullmatch(actor)) is not None and user[1] == local)
        for actor in actors
    )


def wrote(files: Mapping[str, bytes], signer: str, addresses: Collection[str]) -> bool:
    """Whether one of these addresses of commits, in lower case, is a signer's. `files` as for `is_one_of`."""
    return not _addresses(_entry(files, signer) or {}, signer).isdisjoint(addresses)


def _entry(files: Mapping[str, bytes], signer: str) -> Mapping[str, Any] | None:
    """What the roster says of somebody; None of nobody."""
    try:
        entry = json.loads(files.get("roles.json", b"{}"))[signer]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _addresses(entry: Mapping[str, Any], signer: str) -> frozenset[str]:
    emails = entry.get("emails")
    known = (one.lower() for one in emails if isinstance(one, str)) if isinstance(emails, list) else ()
    return frozenset((signer, *known))


@dataclass(frozen=True)
class Involved:
    """Who has a part in a run: what they sign, and those whose place in the roster they signed, does not let it go."""

    files: Mapping[str, bytes]
    """As for `is_one_of`."""
    put_in_by: Mapping[str, Collection[str]]
    """Person -> the administrators who signed what the roster says of them (`record/signed_roster.put_in_by`)."""
    deployer: str
    requested_by: str
    """Empty where no request was made."""
    authors: Collection[str]
    """Addresses of commits, in lower case, as the request lists them."""

    def deploying(self) -> Iterator[str]:
        """Why the deployer may not deploy: an administrator of the signed roster in force says who approves."""
        with suppress(KeyError, ValueError):  # no signed roster; what is none is told where its set comes into force
            role = read_statement(self.files[ROSTER]).administrators
            for person in sorted(administrators(self.files, role)):
                if is_one_of(self.files, person, {self.deployer}):
                    yield f"goes on, and {person}, who deploys it, is {role} of the roster in force"

    def approving(self, signer: str) -> Iterator[str]:
        """Why a person's approval is of no use, in words; nothing where it is."""
        yield from self._signing(signer, "approved it")
        if wrote(self.files, signer, self.authors):
            yield f"goes on, and {signer}, who wrote part of it, approved it"

    def overriding(self, signer: str, gate: str) -> Iterator[str]:
        """The same of a signature that overrides a gate. Who wrote part of a release may answer for its hour."""
        yield from self._signing(signer, f"overrode {gate}")

    def _signing(self, signer: str, did: str) -> Iterator[str]:
        parts = [("deploys it", self.deployer)]
        parts += [("asked for it", self.requested_by)] if self.requested_by not in {"", self.deployer} else []
        for part, actor in parts:
            if is_one_of(self.files, signer, {actor}):
                yield f"goes on, and {signer}, who {part}, {did}"
            for administrator in sorted(self.put_in_by.get(signer, ())):
                if is_one_of(self.files, administrator, {actor}):
                    yield f"goes on, and {signer}, in the roster by the signature of {administrator}, who {part}, {did}"
