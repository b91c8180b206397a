"""What a watch's samples prove, judged by values: for any samples at all, and for those that once passed and proved nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.policy.rollout import Health
from pytest_deploy.watch.judge import (
    PASSING,
    SCHEDULING_S,
    Failure,
    Fault,
    Sample,
    failed,
    failures,
    goes_on,
    judge,
    silence_s,
)

RULES = Health(watch_s=60, interval_s=5, allow_failures=1)
OF_A_SAMPLE = (*sorted(PASSING), Fault.OTHER_RELEASE, Fault.TOO_LARGE)


def well(count: int = 12, *, every_s: float = 5, took_s: float = 0.1, starts: int | None = 1) -> list[Sample]:
    return [Sample(n * every_s, n * every_s + took_s, starts=starts) for n in range(count)]


def ill(samples: list[Sample], *at: int, fault: Fault = Fault.STATUS) -> list[Sample]:
    return [replace(sample, fault=fault, words="ill") if n in at else sample for n, sample in enumerate(samples)]


def kinds(
    samples: Sequence[Sample], rules: Health = RULES, *, ended_s: float = 60, starts: int | None = 1
) -> set[Fault]:
    return {failure.kind for failure in judge(rules, samples, starts=starts, ended_s=ended_s)}


def test_a_whole_watch_of_a_well_service_passes() -> None:
    assert kinds(well()) == set()
    assert kinds(ill(well(), 4)) == set(), "one may fail"


@pytest.mark.parametrize(
    "samples, rules, ended_s, expected",
    [
        pytest.param(
            [Sample(0, 2.6, Fault.STATUS, "503")], Health(watch_s=2, interval_s=0.25, allow_failures=1), 2.6,
            {Fault.TOO_FEW, Fault.NOT_RECOVERED}, id="one sample, one allowed failure",
        ),
        pytest.param(
            [Sample(0, 30, Fault.LATE), Sample(30, 60, Fault.LATE)], Health(watch_s=60, interval_s=5, allow_failures=2, deadline_s=30), 60,
            {Fault.TOO_FEW, Fault.NOT_RECOVERED}, id="two of two failed, two allowed",
        ),
        pytest.param(
            [Sample(0, 0.1), Sample(0.25, 0.3), Sample(0.5, 0.6)], Health(watch_s=20, interval_s=0.25), 22.7,
            {Fault.TOO_FEW, Fault.GAP}, id="three samples and then a suspended process",
        ),
        pytest.param(
            [Sample(0, 40.06)], Health(watch_s=3, interval_s=1), 40.06,
            {Fault.HELD_UP}, id="one answer of 40 s",
        ),
        pytest.param([], RULES, 60, {Fault.TOO_FEW, Fault.GAP}, id="none at all"),
    ],
)  # fmt: skip
def test_what_once_passed_and_proved_nothing_fails(
    samples: list[Sample], rules: Health, ended_s: float, expected: set[Fault]
) -> None:
    assert kinds(samples, rules, ended_s=ended_s) == expected


@pytest.mark.parametrize("fault", OF_A_SAMPLE)
def test_a_fault_that_may_pass_is_allowed_and_one_that_does_not_is_not(fault: Fault) -> None:
    rules = RULES.model_copy(update={"allow_failures": 3})

    assert kinds(ill(well(), 5, fault=fault), rules) == (set() if fault in PASSING else {fault})


def test_failures_are_counted_among_the_last_samples_where_policy_says_of_how_many() -> None:
    rules = RULES.model_copy(update={"of_last": 4})

    assert kinds(ill(well(), 0, 4, 8), rules) == set(), "one of any four"
    assert kinds(ill(well(), 0, 3), rules) == {Fault.TOO_MANY_FAILED}
    assert kinds(ill(well(), 0, 4), RULES) == {Fault.TOO_MANY_FAILED}, "two of all"


def test_the_last_sample_must_be_well() -> None:
    assert kinds(ill(well(), 11)) == {Fault.NOT_RECOVERED}
    assert kinds(ill(well(), 10)) == set()


def test_a_restart_fails_the_watch_and_is_counted() -> None:
    samples = [*well(6, starts=1), *(replace(sample, starts=3) for sample in well()[6:])]

    (failure,) = judge(RULES, samples, starts=1, ended_s=60)

    assert failure.kind == Fault.RESTARTED
    assert failure.words.startswith("2 times during the watch, first seen after 30.0 s: ")
    assert kinds(well(starts=2), starts=2) == set(), "starts before the watch are none of its"
    assert kinds(well(starts=2), starts=1) == {Fault.RESTARTED}, "before the first answer"
    assert kinds(well(starts=None), starts=None) == set(), "a platform that tells nothing"


@pytest.mark.parametrize("gap_s, found", [(10.0, set()), (10.2, {Fault.GAP})])
def test_over_two_intervals_without_a_sample_are_a_gap(gap_s: float, found: set[Fault]) -> None:
    late = [replace(one, began_s=one.began_s + gap_s - 5, ended_s=one.began_s + gap_s - 5) for one in well()[6:]]

    assert kinds([*(replace(one, ended_s=one.began_s) for one in well(6)), *late], ended_s=65.2) == found


def test_a_gap_at_either_end_is_one_too() -> None:
    assert kinds(well(), ended_s=65.2) == {Fault.GAP}
    assert kinds(well(), ended_s=65.0) == set()
    assert kinds([replace(one, began_s=one.began_s + 11, ended_s=one.ended_s + 11) for one in well()], ended_s=70) == {
        Fault.GAP
    }


def test_words_say_what_where_and_what_to_do() -> None:
    said = "\n".join(map(str, judge(RULES, [Sample(0, 0.1), Sample(30, 50.2)], starts=None, ended_s=50.2)))

    held_up, gap = said.splitlines()
    assert held_up == (
        "a sample that took too long: the one after 30.0 s took 20.2 s, its deadline is 10 s: this process was held up, and nobody "
        "knows how the service was meanwhile; see whether the machine was suspended or overloaded"
    )
    assert gap == (
        "a gap: from 0.1 s on there was no sample for 29.9 s, until the next sample; at most 10 s are right: this process was held "
        "up; see whether the machine was suspended or overloaded"
    )
    assert [str(one) for one in judge(RULES, well(2), starts=None, ended_s=15)] == [
        "too few samples: 2 in 15.0 s; 6 are needed of 12 that 60 s make, one each 5 s"
    ]
    assert str(Failure(Fault.STATUS, "ill")) == "no 2xx: ill"


# --- Of any samples.

rules_of_any = st.builds(
    lambda interval, planned, allowed, last: Health(
        watch_s=interval * planned + interval / 2,
        interval_s=interval,
        allow_failures=min(allowed, planned - 1, planned if last is None else last - 1),
        of_last=last,
    ),
    st.floats(0.5, 30),
    st.integers(1, 40),
    st.integers(0, 5),
    st.none() | st.integers(1, 50),
)


@st.composite
def any_samples(draw: st.DrawFn) -> list[Sample]:
    samples, now = [], 0.0
    for _ in range(draw(st.integers(0, 40))):
        began = now + draw(st.floats(0, 40))
        now = began + draw(st.floats(0, 40))
        fault = draw(st.none() | st.sampled_from(OF_A_SAMPLE))
        samples.append(Sample(began, now, fault, "words" if fault else "", draw(st.none() | st.integers(1, 3))))
    return samples


@given(rules_of_any, any_samples(), st.none() | st.integers(1, 3))
def test_what_has_failed_stays_failed_whatever_comes_after(
    rules: Health, samples: list[Sample], starts: int | None
) -> None:
    """So a watch may end at its first failure."""
    ended = samples[-1].ended_s if samples else 0.0
    for count in range(len(samples)):
        if failures(rules, samples[:count], starts=starts):
            assert judge(rules, samples, starts=starts, ended_s=ended)
            assert not goes_on(rules, samples[:count], starts=starts, now_s=0)


@given(rules_of_any, any_samples(), st.none() | st.integers(1, 3))
def test_what_passes_was_watched_all_the_time_by_enough_samples_of_this_release(
    rules: Health, samples: list[Sample], starts: int | None
) -> None:
    """Told again in other words than the judge's own."""
    ended = max(rules.watch_s, samples[-1].ended_s if samples else 0.0)
    if judge(rules, samples, starts=starts, ended_s=ended):
        return
    assert len(samples) > rules.allow_failures
    assert 2 * len(samples) >= int(rules.watch_s / rules.interval_s)
    assert samples[-1].fault is None
    assert all(sample.fault is None or sample.fault in PASSING for sample in samples)
    size = rules.of_last or len(samples)
    for begin in range(max(1, len(samples) - size + 1)):
        assert sum(sample.fault is not None for sample in samples[begin : begin + size]) <= rules.allow_failures
    seen = [0.0, *(sample.began_s for sample in samples), ended]
    most = max(2 * rules.interval_s, SCHEDULING_S) * 2 + rules.deadline_s
    assert all(after - before <= most + 1e-6 for before, after in pairwise(seen))
    told = {sample.starts for sample in samples} - {None} | ({starts} - {None})
    assert len(told) <= 1


@given(rules_of_any, st.sets(st.integers(0, 60)), st.sampled_from(OF_A_SAMPLE))
def test_a_regular_watch_fails_just_where_a_plain_count_says_so(rules: Health, at: set[int], fault: Fault) -> None:
    count = int(rules.watch_s / rules.interval_s)
    samples = ill(well(count, every_s=rules.interval_s, took_s=0.01), *at, fault=fault)
    faults = [n in at for n in range(count)]
    size = rules.of_last or count
    too_many = any(sum(faults[n : n + size]) > rules.allow_failures for n in range(count))
    expected = any(faults) if fault not in PASSING else too_many or faults[-1]

    assert bool(kinds(samples, rules, ended_s=rules.watch_s)) == expected


@given(rules_of_any)
def test_a_service_that_stays_well_passes_and_one_that_stays_ill_ends_soon(rules: Health) -> None:
    count = max(rules.planned_samples, rules.needed_samples)
    samples = well(count, every_s=rules.interval_s, took_s=0.01)
    assert kinds(samples, rules, ended_s=max(rules.watch_s, samples[-1].ended_s)) == set()

    never = ill(well(200, every_s=rules.interval_s), *range(200))
    asked = next(n for n in range(200) if not goes_on(rules, never[:n], starts=1, now_s=n * rules.interval_s))
    assert asked == rules.allow_failures + 1


@given(st.floats(0.01, 100))
def test_two_intervals_are_no_gap_and_a_busy_machine_makes_none(interval: float) -> None:
    assert silence_s(Health(watch_s=interval, interval_s=interval)) >= max(2 * interval, 1)


def test_of_many_samples_that_failed_the_first_are_named() -> None:
    samples = ill(well(100), *range(100))

    assert len(failed(samples)) == 20
    assert failed(samples)[1] == {"at_s": 5, "fault": "no 2xx", "words": "ill"}
