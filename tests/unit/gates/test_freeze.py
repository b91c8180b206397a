"""What was rolled back stays frozen until it is mended or released."""

from __future__ import annotations

from pytest_deploy.gates import freeze
from pytest_deploy.gates.freeze import Frozen
from pytest_deploy.record.events import parse
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_state import LogState
from tests.unit.gates.gate_samples import outcome_of, utc
from tests.unit.record.sample_record import deployed

THAW = "pytest-deploy thaw production --reason '…'"


def test_a_commit_that_nothing_froze_passes() -> None:
    assert freeze.judge(None, rule=True, thaw=THAW).passed


def test_where_no_rollback_freezes_nothing_is_asked_but_a_freeze_that_stands_refuses() -> None:
    assert freeze.judge(None, rule=False, thaw=THAW).result == "not-applicable"
    frozen = Frozen(utc("2026-11-22T20:25"), "why", "production-1")
    assert freeze.judge(frozen, rule=False, thaw=THAW).blocks


def test_a_frozen_one_names_since_when_why_and_by_which_run() -> None:
    verdict = freeze.judge(
        Frozen(utc("2026-11-22T20:25"), "smoke failed after traffic", "production-1"), rule=False, thaw=THAW
    )

    assert outcome_of(verdict) == (False, "mend")
    assert verdict.reason == "frozen by run production-1 since Sunday 2026-11-22 20:25 UTC: smoke failed after traffic"
    assert verdict.remedy == f"see why, then have it lifted: `{THAW}`"


def test_a_freeze_stands_until_somebody_releases_it(log: Log) -> None:
    assert freeze.standing_freeze(LogState.of(log.history()), lambda _released, _frozen: "") is None
    run = deployed(log)
    log.append(parse("environment.frozen", {"reason": "rolled back"}), run=run, actor="system:pipeline")

    frozen = freeze.standing_freeze(LogState.of(log.history()), lambda _released, _frozen: "")

    assert frozen is not None
    assert (run, "rolled back") == (frozen.run, frozen.reason)
