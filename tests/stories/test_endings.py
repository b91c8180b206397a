"""However a deployment ends: exit 0 only where the run was sealed as passed; else `recover` is named, and finishes it."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.project_checkout import Checkout
from tests.stories.endings import ENDINGS, End, Ending
from tests.stories.one_step_checkout import one_step_checkout, serving, set_step

WORKERS = ("-n", "2")
NOTHING_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose smoke run has one step of its own."""
    with one_step_checkout(tmp_path_factory.mktemp("endings")) as made:
        yield made


@pytest.fixture
def one_step(shared: Checkout) -> Iterator[Checkout]:
    """The same; what a test that failed left open is finished, so that the next says something."""
    yield shared
    if sorted(shared.runs()) != sorted(e.run for e in shared.events() if e.type in {"run.closed", "run.abandoned"}):
        shared.assert_nothing_runs(NOTHING_WITHIN_S)
        shared.deploy_py("recover", "local")


def cases() -> Iterator[Any]:
    for ending in ENDINGS:
        marks = [] if ending.sample else [pytest.mark.faults]
        yield pytest.param(ending, (), ending.alone, id=f"{ending.name}, alone", marks=marks)
        yield pytest.param(ending, WORKERS, ending.workers, id=f"{ending.name}, workers", marks=pytest.mark.faults)


@pytest.mark.parametrize("ending, workers, end", [*cases()])
def test_ending(one_step: Checkout, ending: Ending, workers: tuple[str, ...], end: End) -> None:
    set_step(one_step, ending)
    before, known = serving(one_step), len(one_step.runs())
    asked = ["--deploy-env=local", "--deploy-pipeline=smoke", *ending.settings, *workers]
    words = shlex.join([sys.executable, "-m", "pytest", *asked])

    ran = one_step.begin("bash", "-c", ending.line.format(words)).wait(ending.within_s * 4)

    # 1. The exit code, what was said, and that nothing of it runs any more.
    assert ran.code == end.code, ran.said
    assert end.said in ran.said
    one_step.assert_nothing_runs(NOTHING_WITHIN_S)
    # 2. The record: no run, one that is open, or one that is closed as it was decided.
    opened = one_step.runs()[known:]
    assert len(opened) == (end.record != "none"), ran.said
    if end.record == "closed":
        decided = one_step.decided()
        assert (decided["outcome"], decided["exit_code"]) == (end.outcome, end.code), ran.said
        assert end.cause in (decided["cause"] or "")
        assert len(one_step.said("run.closed")) == 1
    # 3. What is open is finished by the command that was named.
    if end.record == "open":
        assert one_step.said("run.decided") == []
        assert "deploy.py recover local`" in ran.stderr or end.code < 0
        recovered = one_step.deploy_py("recover", "local")
        assert recovered.code == 0, recovered.said
        assert len(one_step.said("run.abandoned")) == 1
        one_step.assert_nothing_runs(NOTHING_WITHIN_S)
    # 4. The environment is as it was.
    assert serving(one_step) == before


@pytest.mark.faults
def test_suites_with_more_files_than_an_event_can_name_are_refused_before_anything_is_opened(
    one_step: Checkout,
) -> None:
    folder = one_step.path / "suites" / "smoke" / "samples"
    folder.mkdir()
    for number in range(700):
        (folder / f"{number:04d}.json").write_text("{}")
    before = one_step.bytes_below("reports/local")

    refused = one_step.run("--deploy-env=local", "--deploy-pipeline=smoke")

    assert refused.code == 4, refused.said
    assert "names of files, options and settings; an event holds" in refused.said
    assert before == one_step.bytes_below("reports/local")
    for path in sorted(folder.iterdir())[300:]:
        path.unlink()
    permitted = one_step.run("--deploy-env=local", "--deploy-pipeline=smoke")
    assert permitted.code == 0, permitted.said
    shutil.rmtree(folder)


def test_the_record_of_all_endings_verifies(one_step: Checkout) -> None:
    verified = one_step.deploy_py("verify", "reports/local")

    assert verified.code == 0, verified.said
