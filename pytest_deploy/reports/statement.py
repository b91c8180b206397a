"""statement.json: the run's steps as an in-toto Statement v1, predicate test-result v0.1, for verifiers of the supply chain.

    https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
    https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md

Its subjects are the artefact and the commit. It is a view, bound like every file of the run by SHA256SUMS; the predicate knows
neither phases nor times nor steps that were not run: those stand in the events. `url` is left out: the record has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pytest_deploy.record.event import Event
from pytest_deploy.reports.run_summary import NOT_RUN, RunStory, StepStory, tell

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://in-toto.io/attestation/test-result/v0.1"
_WELL: Final = frozenset({"deployed", "passed"})
_CONFIGURATION: Final[Mapping[str, str]] = {
    "config_sha256": "policy",
    "spec_sha256": "specification",
    "suites_sha256": "suites",
    "lock_sha256": "suites/steps.lock",
}


def render_statement(events: Sequence[Event]) -> bytes:
    """The statement of one run from its own events up to `run.decided`. Raises ValueError where none opens the run."""
    story = tell(events)
    statement = {
        "_type": STATEMENT,
        "subject": list(_subjects(story)),
        "predicateType": PREDICATE,
        "predicate": {
            "result": _result(story),
            "configuration": list(_configuration(story)),
            "passedTests": [step.nodeid for step in story.steps if _passed(step) and not _warned(step)],
            "warnedTests": [step.nodeid for step in story.steps if _passed(step) and _warned(step)],
            # Skipped, in error and unfinished are no passes; what never began was not tested, and stands nowhere.
            "failedTests": [s.nodeid for s in story.steps if not _passed(s) and s.outcome != NOT_RUN],
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def _passed(step: StepStory) -> bool:
    return step.outcome == "passed"


def _warned(step: StepStory) -> bool:
    return bool(step.warnings) or step.attempts > 1


def _result(story: RunStory) -> str:
    """PASSED and WARNED only where the run itself went well: a run that was rolled back failed, whatever passed in it."""
    if story.decided.get("outcome") not in _WELL:
        return "FAILED"
    return "WARNED" if any(_warned(step) for step in story.steps) else "PASSED"


def _subjects(story: RunStory) -> Iterator[dict[str, Any]]:
    if story.image is not None:
        name, _, digest = story.image.partition("@sha256:")
        yield {"name": name, "digest": {"sha256": digest}}
    yield {"name": story.opened["version"], "digest": {"gitCommit": story.opened["commit"]}}


def _configuration(story: RunStory) -> Iterator[dict[str, Any]]:
    """What the steps were run under: resource descriptors, each with its digest."""
    for key, name in _CONFIGURATION.items():
        if story.opened.get(key):
            yield {"name": name, "digest": {"sha256": story.opened[key]}}
    requested = story.opened.get("request_sha256")
    requested = requested or next((event.data["request_sha256"] for event in story.of("request.made")), None)
    if requested:
        yield {"name": f"runs/{story.run}/request.json", "digest": {"sha256": requested}}
