"""What was signed under a request comes into the log: each file once, counted or refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pytest_deploy.approvals.evaluate import ApprovalContext, CountedSignature
from pytest_deploy.approvals.overrides import overrides
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import ApprovalRefused, given
from pytest_deploy.record.log import Log


def record_signatures(log: Log, context: ApprovalContext, *, actor: str) -> None:
    """Append what no event says yet of the files under a request; each once.

    `approval.signed`, `request.rejected` and `override.signed` for what counts, `approval.refused` for what does not.
    """
    signatures: list[CountedSignature[Any]] = [*context.approvals.counted, *context.rejections.counted]
    for override in overrides(context).values():
        signatures += override.signatures
    for signature in signatures:
        if signature.event is None:
            log.append(signature.file.event_content(signature.statement), run=context.run, actor=actor)
    recorded = {(given(refused.file), refused.reason) for _, refused in of_type(log.run(context.run), ApprovalRefused)}
    refused = (*context.approvals.refused, *context.rejections.refused, *context.overrides.refused)
    for file in dict.fromkeys(refused):
        if (file.file, file.reason) not in recorded:
            log.append(ApprovalRefused(**asdict(file)), run=context.run, actor=actor)
