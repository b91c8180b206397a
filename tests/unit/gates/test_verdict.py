"""A verdict does not contradict itself, and only a time gate is ever overridden."""

from __future__ import annotations

import json

import pytest

from pytest_deploy.gates.registry import overridden
from pytest_deploy.gates.verdict import Grounds, Verdict, not_applicable
from pytest_deploy.policy.asked_gates import GATE_NAMES, OVERRIDABLE
from tests.unit.gates.gate_samples import HOUR, MINUTE, utc

AT = utc("2026-11-23T15:00")
TWO = ("dora@example.org", "quentin@example.org")


@pytest.mark.parametrize("gate", GATE_NAMES)
def test_time_may_be_overridden_and_evidence_never(gate: str) -> None:
    refused = Grounds(gate, {"at": "then"}).needs_action("it is so", "mend it")

    verdict = overridden(refused, TWO, AT + HOUR, at=AT)

    assert (gate in OVERRIDABLE) == verdict.passed
    assert verdict.passed or verdict is refused


def test_an_override_says_who_until_when_and_what_would_be_without_it() -> None:
    verdict = overridden(
        Grounds("window", {"zone": "UTC"}).waits("the window is shut", AT + HOUR), TWO, AT + HOUR, at=AT
    )

    assert {
        "zone": "UTC",
        "override": {"by": list(TWO), "until": "2026-11-23T16:00:00.000Z", "refused": "the window is shut"},
    } == verdict.inputs
    assert verdict.reason == (
        "overridden by dora@example.org and quentin@example.org until Monday 2026-11-23 16:00 UTC;"
        " without that: the window is shut"
    )


@pytest.mark.parametrize(
    "by", [(), ("dora@example.org",), ("dora@example.org", "Dora@example.org "), ("dora@example.org", "")]
)
def test_an_override_takes_two_people(by: tuple[str, ...]) -> None:
    refused = Grounds("window", {}).needs_action("shut", "wait")

    assert refused is overridden(refused, by, AT + HOUR, at=AT)


@pytest.mark.parametrize("left,passed", [(1, True), (0, False), (-1, False)])
def test_an_override_ends(left: int, passed: bool) -> None:  # noqa: FBT001
    refused = Grounds("window", {}).needs_action("shut", "wait")

    assert passed == overridden(refused, TWO, AT + left * MINUTE, at=AT).passed


def test_a_pass_needs_no_override() -> None:
    passed = Grounds("window", {}).passes("open")

    assert passed is overridden(passed, TWO, AT + HOUR, at=AT)


@pytest.mark.parametrize(
    "verdict,recorded",
    [
        (not_applicable("window"), ("not-applicable", None, None)),
        (Grounds("window", {"at": "x"}).passes("open"), ("passed", None, None)),
        (Grounds("window", {"at": "x"}).waits("shut", AT), ("still-needed", "2026-11-23T15:00:00.000Z", None)),
        (Grounds("window", {}).needs_action("shut", "widen it"), ("refused", None, "widen it")),
    ],
)
def test_the_record_gets_all_of_it(verdict: Verdict, recorded: tuple[str, str | None, str | None]) -> None:
    data = json.loads(json.dumps(verdict.event("plan").as_data()))

    assert recorded == (data["verdict"], data["earliest_start"], data.get("remedy"))
    assert ("window", "plan", verdict.reason, dict(verdict.inputs)) == (
        data["gate"], data["point"], data["reason"], data["inputs"]
    )  # fmt: skip


@pytest.mark.parametrize(
    "contradiction",
    [
        {"result": "passed", "still_needed": "mend", "remedy": "none"},
        {"result": "not-applicable", "still_needed": "mend", "remedy": "none"},
        {"result": "refused"},
        {"result": "refused", "still_needed": "approval", "remedy": "sign"},
        {"result": "refused", "still_needed": "mend"},
        {"result": "still-needed"},
        {"result": "still-needed", "still_needed": "time"},
        {"result": "still-needed", "still_needed": "approval"},
        {"result": "still-needed", "still_needed": "mend", "remedy": "mend"},
        {"result": "refused", "still_needed": "mend", "remedy": "mend", "earliest_start": AT},
        {"result": "passed", "earliest_start": AT},
    ],
)
def test_a_contradiction_is_no_verdict(contradiction: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="window"):
        Verdict(gate="window", inputs={}, reason="so", **contradiction)  # type: ignore[arg-type]  # each of its field's type
