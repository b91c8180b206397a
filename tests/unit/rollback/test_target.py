"""What a rollback by hand returns to: a release that was deployed here, named so that nobody can mean another."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.errors import PlatformUnavailable, Refused, UsageError
from pytest_deploy.platform.protocol import Revision
from pytest_deploy.record.event import Event
from pytest_deploy.record.log import Log
from pytest_deploy.release.live import Baseline, Release
from pytest_deploy.rollback.target import EARLIER, find_target, require_served
from tests.unit.record.sample_record import IMAGE, RunWriter, open_log, phase_finished, step_finished

REVISION: dict[str, Any] = {"image": IMAGE, "url": None, "env_names": []}


def state(version: str, revision: str, *migrations: str) -> Baseline:
    """The environment while a release served; `""`: before the first one."""
    release = Release(version, "0" * 40, IMAGE, migrations, revision, "a" * 64) if version else None
    return Baseline(revision, migrations, "a" * 64, "b" * 64, release)


PLACEHOLDER = state("", "diary-00001")
ONE, TWO, THREE = (state(f"1.{n}.0", f"diary-0000{n + 1}", *(f"000{m + 1}" for m in range(n))) for n in (1, 2, 3))


def deploy(log: Log, found: Baseline, made: Baseline, *, outcome: str = "deployed") -> str:
    """A run that found the environment so, and deployed, or not; the run."""
    assert made.release is not None
    run = RunWriter(log).open(version=made.release.version).step("build")
    run.request(earlier=found.to_json(), version=made.release.version).ask_gates()
    nodeid = "suites/deploy/t.py::test_it"
    run.add("phase.started", {"phase": "deploy"})
    run.add("step.started", {"nodeid": nodeid, "phase": "deploy", "changes": True})
    run.add("revision.deployed", {"revision": made.revision, **REVISION})
    if outcome != "deployed":
        return run.finish_left_open(nodeid, "deploy").roll_back().close("rolled-back")
    run.add("step.finished", step_finished(nodeid, "deploy"))
    run.add("phase.finished", phase_finished("deploy"))
    return run.close("deployed")


@pytest.fixture
def three(tmp_path: Path) -> tuple[tuple[Event, ...], list[str]]:
    """A record of three releases, one after the other, and their runs."""
    log = open_log(tmp_path)
    runs = [deploy(log, PLACEHOLDER, ONE), deploy(log, ONE, TWO), deploy(log, TWO, THREE)]
    return tuple(log.history()), runs


Three = tuple[tuple[Event, ...], list[str]]


def test_a_version_or_its_run_leads_to_the_state_that_the_next_request_found(three: Three) -> None:
    history, runs = three

    assert find_target(history, THREE, "1.1.0") == ONE
    assert find_target(history, THREE, runs[0]) == ONE
    assert find_target(history, THREE, "1.2.0") == TWO


def test_earlier_is_what_the_request_found_that_brought_what_serves(three: Three) -> None:
    history, _ = three

    assert find_target(history, THREE, EARLIER) == TWO
    # Gone back to the second, the one before it is the first, not the third.
    assert find_target(history, TWO, EARLIER) == ONE


def test_before_the_first_release_there_is_nothing_to_go_back_to(three: Three) -> None:
    with pytest.raises(UsageError, match=r"1\.1\.0 serves, and no release served here before it"):
        find_target(three[0], ONE, EARLIER)


def test_what_serves_already_is_refused_with_what_would_be_right(three: Three) -> None:
    with pytest.raises(
        UsageError, match=r"(?s)it serves already \(diary-00004\); right is one of\n  1\.2\.0 .*\n  1\.1\.0"
    ):
        find_target(three[0], THREE, "1.3.0")


def test_what_nobody_knows_is_refused_with_what_would_be_right(three: Three) -> None:
    with pytest.raises(UsageError, match=r"(?s)the record knows no such release; right is one of\n  1\.2\.0 "):
        find_target(three[0], THREE, "9.9.9")


def test_what_was_tried_and_never_served_is_no_target(three: Three, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    broken = state("1.4.0", "diary-00005")
    run = deploy(log, THREE, broken, outcome="rolled-back")

    with pytest.raises(UsageError, match=rf"never deployed here \(run {run} was to\)"):
        find_target(log.history(), THREE, "1.4.0")


def test_of_two_runs_that_deployed_a_version_one_has_to_be_named(three: Three, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    again = replace(ONE, revision="diary-00005")
    run = deploy(log, THREE, again)
    now = state("1.5.0", "diary-00006")
    deploy(log, again, now)

    with pytest.raises(UsageError, match=rf"(?s)2 runs deployed it; name the run .*{three[1][0]}.*{run}"):
        find_target(log.history(), now, "1.1.0")
    assert find_target(log.history(), now, run) == again
    assert find_target(log.history(), now, three[1][0]) == ONE


def test_a_release_of_which_no_request_tells_is_refused_unless_a_rollback_left_it(three: Three) -> None:
    history, _ = three

    with pytest.raises(Refused, match=r"no request on record says what the environment was while diary-00004 served"):
        find_target(history, TWO, "1.3.0")
    assert find_target(history, TWO, "1.3.0", more=[THREE]) == THREE


class Revisions:
    """A platform that knows one revision."""

    def __init__(self, revision: Revision) -> None:
        self._revision = revision

    def revision(self, name: str) -> Revision:
        if name != self._revision.name:
            raise PlatformUnavailable(f"there is no revision {name}")
        return self._revision


KEPT = Revision(ONE.revision, IMAGE, ready=True, created=datetime(2026, 1, 1, tzinfo=UTC), annotations={})


def test_a_revision_that_is_there_as_the_record_states_it_can_serve_again() -> None:
    assert require_served(Revisions(KEPT), ONE) == ONE.release  # type: ignore[arg-type] # all of it that is asked


@pytest.mark.parametrize(
    "found, why",
    [
        (replace(KEPT, name="diary-00009"), "cannot be read: there is no revision"),
        (replace(KEPT, image="diary@sha256:" + "1" * 64), "and the record says"),
        (replace(KEPT, ready=False), "is not ready to serve"),
    ],
    ids=["gone", "another artefact", "not ready"],
)
def test_one_that_is_gone_or_another_is_refused(found: Revision, why: str) -> None:
    with pytest.raises(Refused, match=why):
        require_served(Revisions(found), ONE)  # type: ignore[arg-type] # see above
