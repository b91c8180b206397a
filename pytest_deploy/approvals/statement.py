"""What a person signs: canonical JSON with the printed name, the time and the meaning of the signature (21 CFR 11.50).

An approval binds run and request; an override besides names the gate, the incident, why, and until when.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.clock import parse_stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.plain_text import NOT_PLAIN, is_plain

MEANING = "approves the deployment of this request"
MEANING_OF_OVERRIDE = "answers for passing over this gate, once, for this request"


@dataclass(frozen=True)
class Approval:
    """An approval of one request, for one role."""

    meaning: str
    printed_name: str
    signer: str
    """An e-mail of the roster."""
    role: str
    signed_at: str
    """A stamp, by the request's own clock."""
    request_sha256: str
    run: str
    comment: str

    @property
    def at(self) -> datetime:
        """When the signer says they signed, UTC."""
        return parse_stamp(self.signed_at)


@dataclass(frozen=True)
class OverrideStatement:
    """One person's part of an override: it takes two."""

    meaning: str
    printed_name: str
    signer: str
    role: str
    signed_at: str
    request_sha256: str
    run: str
    gate: str
    incident: str
    reason: str
    expires: str

    @property
    def at(self) -> datetime:
        """When the signer says they signed, UTC."""
        return parse_stamp(self.signed_at)

    @property
    def until(self) -> datetime:
        """When it runs out, UTC."""
        return parse_stamp(self.expires)


def render(statement: Approval | OverrideStatement) -> bytes:
    """The bytes that are signed: canonical JSON and a newline."""
    return canonical(asdict(statement))


def parse_approval(text: bytes) -> Approval:
    """An approval from its bytes. Raises ValueError for a key missing, empty, of another kind, or one too many."""
    return Approval(**_said(text, Approval, may_be_empty=frozenset({"comment"})))


def parse_override(text: bytes) -> OverrideStatement:
    """An override statement from its bytes. Raises ValueError as `parse_approval`."""
    said = OverrideStatement(**_said(text, OverrideStatement))
    parse_stamp(said.expires)
    return said


def _said(
    text: bytes, kind: type[Approval | OverrideStatement], may_be_empty: frozenset[str] = frozenset()
) -> Mapping[str, Any]:
    try:
        said = json.loads(text)
        again = canonical(said)
    except (ValueError, IllegalEvent, RecursionError) as error:
        raise ValueError(f"is no canonical JSON: {error}") from None
    if again != text or not isinstance(said, dict):
        raise ValueError("is no canonical JSON object")
    wanted = {field.name for field in fields(kind)}
    if wrong := sorted(wanted ^ said.keys()):
        raise ValueError(f"must hold exactly {', '.join(sorted(wanted))}: {', '.join(wrong)} is missing or too much")
    if bad := sorted(
        key for key, value in said.items() if not isinstance(value, str) or not (value.strip() or key in may_be_empty)
    ):
        raise ValueError(f"{', '.join(bad)} is empty or no text")
    if hidden := sorted(key for key, value in said.items() if not is_plain(value)):
        # A line break or a control sequence could show a reader another statement than the one that was signed.
        raise ValueError(f"{', '.join(hidden)} {NOT_PLAIN}")
    parse_stamp(said["signed_at"])
    return said
