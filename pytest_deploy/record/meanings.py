"""What a signature may mean (21 CFR 11.50), a closed set by the type of the event that counts it; when it can have been made.

Who signs writes it, and who judges (the gate, both verifiers) holds what was signed against it: a signature made by hand
under "REJECTS this request" approves nothing, and an override signed by hand lasts no longer than one may.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from pytest_deploy.record.clock import stamp

APPROVES: Final = "approves the deployment of this request"
REJECTS: Final = "rejects this request: it must not be deployed"
OVERRIDES: Final = "answers for passing over this gate, once, for this request"
CORRECTS: Final = "corrects this value of the record"
CONFIRMS: Final = "confirms this correction of the record"
ANNOTATES: Final = "adds this note to the record"
ACCEPTS: Final = "accepts this deviation"
REVIEWED: Final = "reviewed"
REJECTED: Final = "rejected"
SIGN_OFFS: Final = (REVIEWED, REJECTED)
RELEASES: Final = "releases this environment from its freeze"

MEANINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "approval.signed": (APPROVES,),
    "request.rejected": (REJECTS,),
    "override.signed": (OVERRIDES,),
    "signoff.signed": SIGN_OFFS,
    "record.amended": (CORRECTS, CONFIRMS),
    "record.annotated": (ANNOTATES,),
    "deviation.accepted": (ACCEPTS,),
    "environment.released": (RELEASES,),
    "trail.reviewed": (REVIEWED,),
}
"""What a statement may say it means, by the type of the event that counts it."""

LONGEST_OVERRIDE: Final = timedelta(hours=24)
"""From when it is signed until it runs out."""
_SHOWN: Final = 100
"""Characters of a wrong meaning that are repeated."""
TOLERANCE: Final = timedelta(seconds=60)
"""Clocks of signer and log may differ by this."""


def wrong_meaning(kind: str, meaning: object) -> str:
    """Why a statement does not mean what its kind stands for, in words; empty where it does."""
    known = MEANINGS[kind]
    if meaning in known:
        return ""
    right = " or ".join(f'"{text}"' for text in known)
    return f'means "{str(meaning)[:_SHOWN]}", which is no {kind}: right is {right}'


def wrong_time(signed_at: datetime, made: datetime | None, counted: datetime) -> str:
    """Why a signature under a request cannot have been made when it says, in words; empty where it can.

    By the request's own clock: when the request was made, and when the signature was laid down or counted.
    """
    if made is not None and made - signed_at > TOLERANCE:
        return f"is back-dated: signed {stamp(signed_at)}, the request was made {stamp(made)}"
    if signed_at - counted > TOLERANCE:
        return f"is dated {stamp(signed_at)}, after it was laid down ({stamp(counted)})"
    return ""


def wrong_lifetime(signed_at: datetime, expires: datetime) -> str:
    """Why an override lasts for no time that one may last, in words; empty where it does."""
    if expires <= signed_at:
        return "runs out before it is signed"
    if expires - signed_at > LONGEST_OVERRIDE:
        return f"lasts longer than {LONGEST_OVERRIDE.total_seconds() / 3600:g} h from when it was signed"
    return ""
