"""Validation passed, one artefact came of it, and it is the one that people signed."""

from __future__ import annotations

import pytest

from pytest_deploy.gates import build
from pytest_deploy.gates.build import Built
from tests.unit.gates.gate_samples import outcome_of

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


@pytest.mark.parametrize("approved", [None, DIGEST])
def test_one_artefact_that_passed_and_is_approved_or_not_yet_passes(approved: str | None) -> None:
    assert build.judge(Built(passed=True, digest=DIGEST, approved_digest=approved)).passed


@pytest.mark.parametrize(
    "facts,said",
    [
        (Built(passed=False, failed=("lint", "types"), digest=DIGEST), "the build did not pass: lint, types"),
        (Built(passed=False, digest=DIGEST), "the build did not pass"),
        (Built(passed=True, failed=("lint",), digest=DIGEST), "the build did not pass: lint"),
        (Built(passed=True), "the build left no artefact, or more than one"),
        (
            Built(passed=True, digest=DIGEST, approved_digest=OTHER),
            "the artefact is aaaaaaaaaaaa, approved was bbbbbbbbbbbb",
        ),
    ],
)
def test_anything_else_must_be_mended(facts: Built, said: str) -> None:
    verdict = build.judge(facts)

    assert outcome_of(verdict) == (False, "mend")
    assert said == verdict.reason
