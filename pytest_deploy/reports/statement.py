"""`statement.json`: the run's steps as an in-toto Statement v1, predicate test-result v0.1, for verifiers of the supply chain.

    https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
    https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md

Its subjects are the artefact and the commit. It is a view, bound like every file of the run by SHA256SUMS; the predicate
knows neither phases nor times nor steps that were not run: those stand in the events. `url` is left out: the record has none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RequestMade
from pytest_deploy.reports.run_summary import RunSummary, StepSummary, summarize
from pytest_deploy.traceability.matrix import NOT_RUN

_CONFIGURATION: Final[Mapping[str, str]] = {
    "config_sha256": "policy",
    "spec_sha256": "specification",
    "suites_sha256": "suites",
    "lock_sha256": "suites/steps.lock",
}


def render_statement(events: Sequence[Event]) -> bytes:
    """The statement of one run from its own events up to `run.decided`. Raises ValueError where none opens the run."""
    summary = summarize(events)
    passed = [step for step in summary.steps if step.outcome == "passed"]
    # The predicate knows three results: a plan that still needs something did not fail, and no reader may take it for passed.
    waits = summary.outcome == "still-needed"
    result = "WARNED" if waits or any(map(_warned, summary.steps)) else "PASSED"
    if not waits and summary.outcome not in {"deployed", "passed"}:  # one rolled back failed, whatever passed in it
        result = "FAILED"
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": list(_subjects(summary)),
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": result,
            "configuration": list(_configuration(summary)),
            "passedTests": [step.nodeid for step in passed if not _warned(step)],
            "warnedTests": [step.nodeid for step in passed if _warned(step)],
            # Skipped, in error and unfinished are no passes. What never began was not tested, and stands nowhere; what neither
            # passed nor failed stands among the configuration, for the predicate has no list for it.
            "failedTests": [step.nodeid for step in summary.steps if step.outcome not in _NO_FAILURES],
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False).encode() + b"\n"


_NO_FAILURES: Final = frozenset({"passed", "still-needed", "not-applicable", NOT_RUN})


def _warned(step: StepSummary) -> bool:
    return bool(step.warnings) or step.attempts > 1


def _subjects(summary: RunSummary) -> Iterator[dict[str, Any]]:
    if summary.image is not None:
        name, _, digest = summary.image.partition("@sha256:")
        yield {"name": name, "digest": {"sha256": digest}}
    yield {"name": summary.opened.version, "digest": {"gitCommit": summary.opened.commit}}


def _configuration(summary: RunSummary) -> Iterator[dict[str, Any]]:
    """What the steps were run under: resource descriptors, each with its digest."""
    for key, name in _CONFIGURATION.items():
        if sha256 := getattr(summary.opened, key):
            yield {"name": name, "digest": {"sha256": sha256}}
    requested = summary.opened.request_sha256 or next(
        (made.request_sha256 for made in summary.contents(RequestMade)), None
    )
    if requested:
        yield {"name": f"runs/{summary.run}/request.json", "digest": {"sha256": requested}}
    for outcome in ("still-needed", "not-applicable"):
        if steps := [step.nodeid for step in summary.steps if step.outcome == outcome]:
            digest = hashlib.sha256("".join(f"{step}\n" for step in steps).encode()).hexdigest()
            yield {"name": f"{outcome} steps", "annotations": {"steps": steps}, "digest": {"sha256": digest}}
