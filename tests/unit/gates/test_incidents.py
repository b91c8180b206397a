"""No critical incident is open, and none was opened lately; a source that is silent blocks."""

from __future__ import annotations

from datetime import datetime

import pytest

from pytest_deploy.gates import incidents
from pytest_deploy.gates.incidents import Incident
from pytest_deploy.gates.verdict import Unavailable
from pytest_deploy.policy.policy import Incidents
from tests.unit.gates.gate_samples import HOUR, MINUTE, outcome_of, utc

RULE = Incidents(within_h=24, command=("cat", "incidents.json"))
AT = utc("2026-11-23T15:00")


def an_incident(opened: float, closed: datetime | None = None, severity: str = "critical") -> Incident:
    return Incident("INC-7", severity, AT - opened * HOUR, closed)


def test_it_is_not_applicable_where_policy_does_not_ask() -> None:
    assert incidents.judge(None, AT, [an_incident(1)]).result == "not-applicable"


def test_none_known_passes() -> None:
    assert incidents.judge(RULE, AT, []).passed


def test_an_open_critical_one_must_be_closed_or_overridden_however_old() -> None:
    verdict = incidents.judge(
        RULE, AT, [Incident("INC-7", "Critical", AT - 99 * HOUR, url="https://incidents.example.org/7")]
    )

    assert outcome_of(verdict) == (False, "approval")
    assert (
        verdict.reason
        == "critical and open: INC-7 (https://incidents.example.org/7) since Thursday 2026-11-19 12:00 UTC"
    )


@pytest.mark.parametrize("opened,passed", [(23.9, False), (24.0, True), (30.0, True)])
def test_a_closed_one_passes_by_itself_when_its_hours_are_over(opened: float, passed: bool) -> None:  # noqa: FBT001
    verdict = incidents.judge(RULE, AT, [an_incident(opened, closed=AT - MINUTE)])

    assert passed == verdict.passed
    if not passed:
        assert AT + (24 - opened) * HOUR == verdict.earliest_start


def test_the_latest_of_several_decides() -> None:
    known = [an_incident(20, closed=AT), an_incident(5, closed=AT), an_incident(90, closed=AT + 21 * HOUR)]

    start = incidents.judge(RULE, AT, known).earliest_start

    assert start == AT + 21 * HOUR
    assert incidents.judge(RULE, start, known).passed
    assert not incidents.judge(RULE, start - MINUTE, known).passed


@pytest.mark.parametrize("severity,passed", [("critical", False), ("CRITICAL ", False), ("", False), ("major", True)])
def test_a_severity_that_is_not_told_counts_as_the_worst(severity: str, passed: bool) -> None:  # noqa: FBT001
    assert passed == incidents.judge(RULE, AT, [an_incident(1, severity=severity)]).passed


def test_a_source_that_does_not_answer_blocks_with_its_cause() -> None:
    verdict = incidents.judge(RULE, AT, Unavailable("the tracker answered 503"))

    assert outcome_of(verdict) == (False, "mend")
    assert verdict.reason == "incidents cannot be asked about: the tracker answered 503"
