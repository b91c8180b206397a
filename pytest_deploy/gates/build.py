"""`build`: validation passed, one artefact came of it, and it is the one that people signed."""

from __future__ import annotations

from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, short
from pytest_deploy.release.candidate import ReleaseCandidate

NAME = "build"


def gather(facts: GateFacts) -> Judge:
    return lambda _: judge(facts.candidate)


def judge(candidate: ReleaseCandidate) -> Verdict:
    """Whether what is to be deployed was validated, exists once, and is what was approved (REQ-o00043-E)."""
    failed, built, approved = candidate.failed, candidate.built, candidate.approved
    inputs = {"passed": not failed, "failed": list(failed), "digest": built, "approved_digest": approved}
    grounds = Grounds(NAME, inputs)
    if failed:
        return grounds.needs_action(f"the build did not pass: {', '.join(failed)}", "mend what failed and plan anew")
    if not built:
        return grounds.needs_action("the build left no artefact, or more than one", "make exactly one artefact")
    if approved not in (None, built):
        return grounds.needs_action(
            f"the artefact is {short(built)}, approved was {short(str(approved))}",
            "deploy the approved artefact, or plan anew and have this one approved",
        )
    signed = ", the approved one" if approved else ""
    return grounds.passes(f"the build passed; one artefact, {short(built)}{signed}")
