"""The watch: a sample each interval, until the time is over or nothing can mend it any more.

Every sample is one GET on a connection of its own: reaching the service is part of the question.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_deploy.bounded_http import AnswerTooLarge, AnswerTooLate
from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.clients import Service
from pytest_deploy.platform.protocol import Runtime
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.rollout import Health
from pytest_deploy.release.health import judge_health
from pytest_deploy.release.live import Release
from pytest_deploy.watch.judge import Failure, Fault, Sample, failed, goes_on, judge


@dataclass(frozen=True)
class Found:
    """What one question found: no fault, or one in words."""

    fault: Fault | None = None
    words: str = ""


@dataclass(frozen=True)
class Watched:
    """A watch that is over."""

    rules: Health
    samples: tuple[Sample, ...]
    seconds: float
    starts: int | None
    failures: tuple[Failure, ...]
    """Why it failed; empty where the service stayed well."""

    @property
    def expected(self) -> str:
        """The rules, for the record."""
        rules = self.rules
        last = "" if rules.of_last is None else f" of the last {rules.of_last}"
        return (
            f"{rules.watch_s:g} s, {rules.needed_samples} samples at least, {rules.allow_failures} failures{last} at most, "
            "of this release, without a gap or a restart"
        )

    @property
    def found(self) -> dict[str, Any]:
        """What the watch found, for the record; restarts are null where the platform does not tell."""
        count = sum(sample.fault is not None for sample in self.samples)
        told = [sample.starts for sample in self.samples if sample.starts is not None]
        return {
            "seconds": round(self.seconds, 3),
            "samples": len(self.samples),
            "failed": count,
            "restarts": None if self.starts is None or not told else told[-1] - self.starts,
            "failures": [str(failure) for failure in self.failures],
            "first_failed": failed(self.samples),
        }

    @property
    def fault(self) -> str:
        """Every reason why it failed, a line each; empty where there is none."""
        return "\n".join(map(str, self.failures))


def seconds() -> float:
    """A clock that never goes back and, where the system has one, goes on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def watch(
    rules: Health,
    ask: Callable[[], Found],
    starts: Callable[[], int | None],
    *,
    on_time: Callable[[float], None] = lambda watched_s: None,
    clock: Callable[[], float] = seconds,
    sleep: Callable[[float], None] = time.sleep,
) -> Watched:
    """Ask, each interval, until the watch is over; what it found.

    Args:
        rules: the policy's section `health`.
        ask: one question, answered or given up within `rules.deadline_s`.
        starts: how often an instance of the revision was started; None where the platform does not tell.
        on_time: hears after each sample how long the watch has lasted, in seconds.
        clock: seconds of a clock that never goes back.
        sleep: waits for so many seconds.
    """
    samples: list[Sample] = []
    before = starts()
    began = clock()
    now = 0.0
    while goes_on(rules, samples, starts=before, now_s=now):
        # 1. Ask. 2. Wait until the next question is due: not where nothing mends the watch, nor past its end unless it is prolonged.
        found = ask()
        samples.append(Sample(now, clock() - began, found.fault, found.words, starts()))
        now = clock() - began
        on_time(now)
        if goes_on(rules, samples, starts=before, now_s=now):
            due = samples[-1].began_s + rules.interval_s
            sleep(max(0.0, (due if found.fault else min(due, rules.watch_s)) - now))
            now = clock() - began
            on_time(now)
    return Watched(rules, tuple(samples), now, before, judge(rules, samples, starts=before, ended_s=now))


def watch_service(
    service: Service, policy: Policy, release: Release, runtime: Runtime, *, on_time: Callable[[float], None]
) -> Watched:
    """Watch the release at the service's address, as policy's `health` says.

    Args:
        service: at the address that serves users.
        policy: the environment's policy.
        release: the one that should answer.
        runtime: the platform's side of the service.
        on_time: hears how long the watch has lasted, in seconds.

    Returns:
        What it found: `.expected` and `.found` for the record, `.fault` in words, empty where the service stayed well.
    """
    rules = policy.health
    written: dict[str, str] = {}

    def ask() -> Found:
        try:
            answer = service.call(
                "GET",
                policy.service.health,
                headers={"Connection": "close"},
                deadline_s=rules.deadline_s,
                limit_bytes=rules.max_body_bytes,
            )
        except PlatformUnavailable as error:
            kinds = {AnswerTooLarge: Fault.TOO_LARGE, AnswerTooLate: Fault.LATE}
            return _found(kinds.get(type(error), Fault.NO_ANSWER), str(error))
        try:
            revision = runtime.state().revision_at(service.url)
            if revision is not None and revision not in written:  # it never changes
                written[revision] = runtime.revision(revision).annotations.get("deploy.commit", "")
        except PlatformUnavailable as error:
            return _found(Fault.UNREAD, str(error))
        health = judge_health(answer, revision, written.get(revision or "", ""), policy.service, release)
        if health.identity_fault:
            return _found(Fault.OTHER_RELEASE, health.identity_fault)
        return _found((Fault.UNWELL if answer.ok else Fault.STATUS) if health.fault else None, health.fault)

    return watch(rules, ask, lambda: runtime.starts(release.revision), on_time=on_time)


def _found(fault: Fault | None, words: str) -> Found:
    return Found(fault, kept_text(words, WORDS_BYTES))
