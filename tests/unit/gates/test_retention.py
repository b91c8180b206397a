from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.gates import retention
from pytest_deploy.gates.verdict import Unavailable
from pytest_deploy.policy.storage import Retention
from pytest_deploy.record.bucket import BucketRetention

NOW = datetime(2026, 11, 25, tzinfo=UTC)
RULE = Retention(locked=True)
PLACE = "gs://record/production"
HELD = BucketRetention(
    locked=True, period_s=220_924_800, effective=datetime(2026, 1, 1, tzinfo=UTC), storage_class="ARCHIVE", may=()
)  # fmt: skip


def test_seven_years_locked_in_the_right_class_by_somebody_who_may_not_delete_passes() -> None:
    verdict = retention.judge(RULE, NOW, PLACE, HELD)

    assert verdict.passed
    assert "keeps an object for 220924800 s (2557 days), locked, stored as ARCHIVE" in verdict.reason
    assert verdict.inputs["found"]["effective"] == "2026-01-01T00:00:00.000Z"
    assert retention.judge(RULE, NOW, PLACE, replace(HELD, period_s=HELD.period_s * 4)).passed  # type: ignore[operator]


@pytest.mark.parametrize(
    "changed, reason, remedy",
    [
        ({"period_s": 220_924_799}, "1 s less than the 220924800 s (2557 days)", "raise its retention period"),
        ({"period_s": 7}, "220924793 s less", "seconds, not days"),
        ({"period_s": None, "locked": False}, "it has no retention policy", "set one of 220924800 s"),
        ({"locked": False}, "is not locked", "lock it"),
        ({"storage_class": "STANDARD"}, "stores new objects as STANDARD, policy says ARCHIVE", "set its default"),
        ({"may": ("storage.objects.delete",)}, "may storage.objects.delete", "no role that may delete"),
        ({"may": ("storage.buckets.update",)}, "may storage.buckets.update", "no role that may delete"),
        ({"effective": datetime(2026, 12, 1, tzinfo=UTC)}, "holds only from Tuesday 2026-12-01", "wait"),
    ],
)
def test_each_fault_is_refused_by_itself_and_says_what_to_do(
    changed: dict[str, object], reason: str, remedy: str
) -> None:
    verdict = retention.judge(RULE, NOW, PLACE, replace(HELD, **changed))  # type: ignore[arg-type]

    assert (verdict.passed, verdict.still_needed) == (False, "mend")
    assert reason in verdict.reason
    assert remedy in verdict.remedy
    assert verdict.reason.count(";") == 0


@given(st.integers(2557, 40_000), st.integers(0, 2**33))
def test_it_passes_exactly_where_the_period_reaches_the_days_of_policy(days: int, period_s: int) -> None:
    verdict = retention.judge(Retention(locked=True, days=days), NOW, PLACE, replace(HELD, period_s=period_s))

    assert verdict.passed == (period_s >= days * 86_400)


def test_all_faults_are_named_at_once() -> None:
    verdict = retention.judge(RULE, NOW, PLACE, BucketRetention(False, 25, None, "", ("storage.objects.delete",)))

    assert verdict.reason.count(";") == 3


def test_policy_may_ask_for_longer() -> None:
    assert not retention.judge(Retention(locked=True, days=9132), NOW, PLACE, HELD).passed


def test_what_cannot_be_read_back_blocks_with_its_own_cause() -> None:
    verdict = retention.judge(RULE, NOW, PLACE, Unavailable("no answer within 45 s"))

    assert not verdict.passed
    assert "could not be read back: no answer within 45 s" in verdict.reason


def test_a_disk_holds_nothing_back_and_the_gate_says_so() -> None:
    asked = retention.judge(RULE, NOW, "reports/local", None)
    unasked = retention.judge(Retention(), NOW, "reports/local", None)

    assert (asked.result, unasked.result) == ("refused", "not-applicable")
    assert "not enforceable on a disk" in asked.reason
    assert "not enforceable on a disk" in unasked.reason


@pytest.mark.parametrize("found", [HELD, replace(HELD, period_s=None), Unavailable("no answer")])
def test_where_no_lock_is_asked_for_what_was_found_is_said(found: BucketRetention | Unavailable) -> None:
    verdict = retention.judge(Retention(), NOW, PLACE, found)

    assert verdict.result == "not-applicable"
    assert "asks for no locked bucket" in verdict.reason


def test_a_rehearsal_does_not_say_that_policy_asks_for_no_lock() -> None:
    rule = Retention(locked=False)

    assert "this policy asks for no locked bucket" in retention.judge(rule, NOW, "reports/x", None).reason
    replaced = retention.judge(rule, NOW, "reports/x", None, replaced=True)
    assert "in place of policy's own" in replaced.reason
    assert "this policy" not in replaced.reason
