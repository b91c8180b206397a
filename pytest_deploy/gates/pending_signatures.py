"""Signatures that lie under a request and no event counts yet: the next plan or run takes them in, or says why not."""

from __future__ import annotations

from pytest_deploy.approvals.sign_request import said_of_approval, said_of_override
from pytest_deploy.gates.facts import Gates
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.actor import PIPELINE_ACTOR


def take_in(environment: Environment, run: str, gates: Gates) -> None:
    """Append `approval.signed` and `override.signed` for what counts, `approval.refused` for what does not; each once."""
    judged, log = gates.judged, environment.log
    if judged is None:
        return
    for signed in judged.counted:
        if signed.event is None:
            log.append("approval.signed", said_of_approval(signed.files), run=run, actor=PIPELINE_ACTOR)
    for override in gates.overrides.values():
        for signed in override.signed:
            if signed.event is None:
                log.append("override.signed", said_of_override(signed.files), run=run, actor=PIPELINE_ACTOR)
    told = {(e.data.get("file"), e.data["reason"]) for e in log.run(run) if e.type == "approval.refused"}
    for one in (*judged.refused, *gates.refused_overrides):
        if (one.file, one.reason) not in told:
            data = {"file": one.file, "signer": one.signer, "role": one.role, "reason": one.reason}
            log.append("approval.refused", data, run=run, actor=PIPELINE_ACTOR)
