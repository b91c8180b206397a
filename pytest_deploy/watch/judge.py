"""What a watch's samples say. Pure: a function of the rules and of the samples.

Two sorts of fault:

    it may pass     no answer, none in time, no 2xx, an answer that says it is not well, a platform that does not tell who answers:
                    `allow_failures` of them among the last `of_last` samples; the last sample of all must be well
    it does not     another release, a body over the cap, a restart, a watch that saw nothing for a while, too few samples:
                    one fails the watch, whatever is allowed
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import Final

from pytest_deploy.policy.rollout import Health

SCHEDULING_S: Final = 2.0
"""Seconds in which a busy machine may not let a process run; two intervals that are shorter are no gap."""
SHOWN: Final = 20
"""Samples that failed which the record names; all of them are counted, and all are kept with their time and status."""
_WORDS: Final = 300
"""Characters of what one of these samples says."""


class Fault(StrEnum):
    """What was wrong with one sample, or with the watch."""

    NO_ANSWER = "no answer"
    LATE = "no whole answer in time"
    STATUS = "no 2xx"
    UNWELL = "says that it is not well"
    UNREAD = "the platform did not tell which revision answers"

    OTHER_RELEASE = "another release answers"
    TOO_LARGE = "a body over the cap"
    RESTARTED = "the instance was started again"
    GAP = "a gap"
    HELD_UP = "a sample that took too long"
    TOO_FEW = "too few samples"
    TOO_MANY_FAILED = "too many samples failed"
    NOT_RECOVERED = "the last sample failed"


PASSING: Final = frozenset({Fault.NO_ANSWER, Fault.LATE, Fault.STATUS, Fault.UNWELL, Fault.UNREAD})
"""Of a sample's faults those that may pass; of the others one is enough."""


@dataclass(frozen=True)
class Sample:
    """One question and what came of it. Times are seconds since the watch began, by a clock that never goes back."""

    began_s: float
    ended_s: float
    """When the answer, and what the platform says of it, was there or given up."""
    fault: Fault | None = None
    words: str = ""
    """What is wrong, in words; empty where nothing is."""
    starts: int | None = None
    """How often an instance of the revision had been started by then; None where the platform does not tell."""


@dataclass(frozen=True)
class Failure:
    """One reason why the watch failed."""

    kind: Fault
    words: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.words}"


def silence_s(rules: Health) -> float:
    """Seconds without a sample that are no gap yet: two intervals."""
    return max(2 * rules.interval_s, SCHEDULING_S)


def failures(rules: Health, samples: Sequence[Sample], *, starts: int | None) -> tuple[Failure, ...]:
    """Why the watch has failed already, while it still goes on: nothing that comes later mends it.

    Args:
        rules: the policy's section `health`.
        samples: so far, in their order.
        starts: how often an instance had been started when the watch began; None where the platform does not tell.
    """
    found = (_unforgiven(samples), _restarts(samples, starts), _silences(rules, samples), _too_many(rules, samples))
    return tuple(failure for kind in found for failure in kind)


def judge(rules: Health, samples: Sequence[Sample], *, starts: int | None, ended_s: float) -> tuple[Failure, ...]:
    """Why the watch failed, once it is over after `ended_s` seconds; empty where it shows that the service stayed well."""
    if early := failures(rules, samples, starts=starts):
        return early  # it ended there: that it was short says nothing more
    found: list[Failure] = []
    if len(samples) < rules.needed_samples:
        found.append(
            Failure(
                Fault.TOO_FEW,
                f"{len(samples)} in {ended_s:.1f} s; {rules.needed_samples} are needed"
                f" of {rules.planned_samples} that {rules.watch_s:g} s make, one each {rules.interval_s:g} s",
            )
        )
    found += _silence(rules, samples[-1].ended_s if samples else 0.0, ended_s, "the end of the watch")
    if samples and samples[-1].fault in PASSING:
        found.append(Failure(Fault.NOT_RECOVERED, f"{_said(samples[-1])}; nobody saw the service well after it"))
    return tuple(found)


def goes_on(rules: Health, samples: Sequence[Sample], *, starts: int | None, now_s: float) -> bool:
    """Whether another sample is taken: until the time is over and the last one is well, or the watch has failed.

    A last sample that failed is followed by others: within as many as may fail one is well, or the watch has failed.
    """
    if failures(rules, samples, starts=starts):
        return False
    return now_s < rules.watch_s or not samples or samples[-1].fault is not None


def failed(samples: Sequence[Sample]) -> list[dict[str, object]]:
    """The samples that failed, for the record: the first ones, each with its time."""
    return [
        {"at_s": round(sample.began_s, 3), "fault": str(sample.fault), "words": sample.words[:_WORDS]}
        for sample in samples
        if sample.fault is not None
    ][:SHOWN]


def _unforgiven(samples: Sequence[Sample]) -> Iterator[Failure]:
    """The first of each kind: another says nothing more."""
    known: set[Fault] = set()
    for sample in samples:
        if sample.fault is not None and sample.fault not in PASSING and sample.fault not in known:
            known.add(sample.fault)
            yield Failure(sample.fault, _said(sample))


def _restarts(samples: Sequence[Sample], starts: int | None) -> Iterator[Failure]:
    told = [sample for sample in samples if sample.starts is not None]
    known = starts
    for sample in told:
        if known is not None and sample.starts != known:
            more = (told[-1].starts or 0) - (starts or 0)
            times = "once" if more == 1 else f"{more} times"
            yield Failure(
                Fault.RESTARTED,
                f"{times} during the watch, first seen after {sample.began_s:.1f} s: its process ended; see what it printed last",
            )
            return
        known = sample.starts


def _silences(rules: Health, samples: Sequence[Sample]) -> Iterator[Failure]:
    """The first gap, and the first sample that took longer than its deadline lets it take."""
    longest = rules.deadline_s + silence_s(rules)
    for sample in samples:
        if sample.ended_s - sample.began_s > longest:
            took_s = sample.ended_s - sample.began_s
            yield Failure(
                Fault.HELD_UP,
                f"the one after {sample.began_s:.1f} s took {took_s:.1f} s, its deadline is {rules.deadline_s:g} s: this process was held"
                " up, and nobody knows how the service was meanwhile; see whether the machine was suspended or overloaded",
            )
            break
    first = samples[0].began_s if samples else 0.0
    silences = [(0.0, first), *((before.ended_s, after.began_s) for before, after in pairwise(samples))]
    for since, until in silences:
        gap = list(_silence(rules, since, until, "the next sample"))
        if gap:
            yield from gap
            return


def _silence(rules: Health, since: float, until: float, before: str) -> Iterator[Failure]:
    if until - since > silence_s(rules):
        yield Failure(
            Fault.GAP,
            f"from {since:.1f} s on there was no sample for {until - since:.1f} s, until {before}; at most {silence_s(rules):g} s are"
            " right: this process was held up; see whether the machine was suspended or overloaded",
        )


def _too_many(rules: Health, samples: Sequence[Sample]) -> Iterator[Failure]:
    """The first stretch of `of_last` samples in which more failed than may."""
    counted = [0, *accumulate(sample.fault in PASSING for sample in samples)]
    for end in range(1, len(counted)):
        begin = 0 if rules.of_last is None else max(0, end - rules.of_last)
        count = counted[end] - counted[begin]
        if count > rules.allow_failures:
            of = "" if rules.of_last is None else "the last "
            yield Failure(
                Fault.TOO_MANY_FAILED,
                f"{count} of {of}{end - begin} samples, {rules.allow_failures} may; the last of them: {_said(samples[end - 1])}",
            )
            return


def _said(sample: Sample) -> str:
    return f"after {sample.began_s:.1f} s: {sample.words[:_WORDS] or sample.fault}"
