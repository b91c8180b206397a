"""`build`: validation passed, one artefact came of it, and it is the one that people signed."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Judge, Verdict, needs_action, passes, short

NAME = "build"


@dataclass(frozen=True)
class Built:
    """What the build phase left."""

    passed: bool
    failed: tuple[str, ...] = ()
    """The steps that did not pass."""
    digest: str | None = None
    """Of the one artefact; None where there is none, or more than one."""
    approved_digest: str | None = None
    """Of the artefact in the approved request; None where nothing is approved yet."""


def gather(facts: GateFacts) -> Judge:
    """What the build phase of the run left, and what was approved."""
    candidate = facts.candidate
    built = Built(not candidate.failed, candidate.failed, candidate.built, candidate.approved)
    return lambda _: judge(built)


def judge(facts: Built) -> Verdict:
    """Whether what is to be deployed was validated, exists once, and is what was approved (REQ-o00043-E)."""
    inputs = {
        "passed": facts.passed,
        "failed": list(facts.failed),
        "digest": facts.digest,
        "approved_digest": facts.approved_digest,
    }
    if not facts.passed or facts.failed:
        named = f": {', '.join(facts.failed)}" if facts.failed else ""
        return needs_action(NAME, inputs, f"the build did not pass{named}", "mend what failed and plan anew")
    if not facts.digest:
        return needs_action(NAME, inputs, "the build left no artefact, or more than one", "make exactly one artefact")
    if facts.approved_digest not in (None, facts.digest):
        return needs_action(
            NAME,
            inputs,
            f"the artefact is {short(facts.digest)}, approved was {short(str(facts.approved_digest))}",
            "deploy the approved artefact, or plan anew and have this one approved",
        )
    signed = ", the approved one" if facts.approved_digest else ""
    return passes(NAME, inputs, f"the build passed; one artefact, {short(facts.digest)}{signed}")
