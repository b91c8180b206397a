"""Break-glass: which gates two different people override for a request, and why what somebody signed does not count yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pytest_deploy.approvals.evaluate import OVERRIDE_PREFIX, ApprovalContext, CountedSignature
from pytest_deploy.approvals.sign_request import OverrideStatement
from pytest_deploy.record.countersigned import SIGNERS

OVERRIDE_SIGNERS: Final = SIGNERS
"""An override is asked for by one and confirmed by another."""


@dataclass(frozen=True)
class Override:
    people: tuple[str, ...]
    until: datetime
    incident: str
    signatures: tuple[CountedSignature[OverrideStatement], ...]


def overrides(context: ApprovalContext) -> Mapping[str, Override]:
    """The gates that two different people override for this request, for one incident, until the earlier expiry."""
    same: dict[tuple[str, str], list[CountedSignature[OverrideStatement]]] = {}
    for signature in context.overrides.counted:
        same.setdefault((signature.statement.gate, signature.statement.incident), []).append(signature)
    complete = {}
    for (gate, incident), signatures in same.items():
        people = tuple(sorted({signature.statement.signer for signature in signatures}))
        if len(people) >= OVERRIDE_SIGNERS:
            until = min(signature.statement.until for signature in signatures)
            complete[gate] = Override(people, until, incident, tuple(signatures))
    return complete


def incomplete_override(context: ApprovalContext, gate: str) -> str:
    """Why a gate is not overridden although somebody signed for it, in words; empty where nobody did, or it is."""
    if gate in overrides(context):
        return ""
    named = [(file.file.rpartition("/")[2], file.reason) for file in context.overrides.refused]
    reasons = [f"{name}: {reason}" for name, reason in named if name.startswith(f"{OVERRIDE_PREFIX}{gate}-")]
    signed = [signature.statement for signature in context.overrides.counted if signature.statement.gate == gate]
    return "; ".join(
        [*reasons, *(f"{said.signer} signed for {said.incident}; another person must sign the same" for said in signed)]
    )
