"""What was rolled back stays frozen until it is mended or released."""

from __future__ import annotations

from pytest_deploy.gates.freeze import Frozen, freeze
from tests.unit.gates.facts import owes, utc


def test_a_commit_that_nothing_froze_passes() -> None:
    assert freeze(None).passed


def test_a_frozen_one_names_since_when_why_and_by_which_run() -> None:
    verdict = freeze(Frozen(utc("2026-11-22T20:25"), "smoke failed after traffic", "production-1"))

    assert owes(verdict) == (False, "mend")
    assert verdict.reason == "frozen by run production-1 since Sunday 2026-11-22 20:25 UTC: smoke failed after traffic"
