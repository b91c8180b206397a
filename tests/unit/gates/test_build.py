"""Validation passed, one artefact came of it, and it is the one that people signed."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.gates import build
from pytest_deploy.gates.verdict import Verdict
from pytest_deploy.release.candidate import ReleaseCandidate
from tests.unit.gates.gate_samples import outcome_of

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def judged(**facts: Any) -> Verdict:
    candidate = {"built": DIGEST, "approved": None, "migrations_sha256": "", "request": None, **facts}
    return build.judge(ReleaseCandidate("deploy", "production-1", "c" * 40, **candidate))


@pytest.mark.parametrize("approved", [None, DIGEST])
def test_one_artefact_that_passed_and_is_approved_or_not_yet_passes(approved: str | None) -> None:
    assert judged(approved=approved).passed


@pytest.mark.parametrize(
    "facts,said",
    [
        ({"failed": ("lint", "types")}, "the build did not pass: lint, types"),
        ({"failed": ("lint",), "built": None}, "the build did not pass: lint"),
        ({"built": None}, "the build left no artefact, or more than one"),
        ({"approved": OTHER}, "the artefact is aaaaaaaaaaaa, approved was bbbbbbbbbbbb"),
    ],
)
def test_anything_else_must_be_mended(facts: dict[str, Any], said: str) -> None:
    verdict = judged(**facts)

    assert outcome_of(verdict) == (False, "mend")
    assert said == verdict.reason
