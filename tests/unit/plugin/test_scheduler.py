"""The barrier between phases, over every order in which workers may begin, end, fail and die."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.policy.phases import PARALLEL, PHASES
from tests.unit.plugin.xdist_model import XdistModel

MOVES = 2_000
"""More than any run needs: a run that makes more is going round in circles."""


def steps_of(counts: dict[str, int], *, rollback: bool = True) -> tuple[Step, ...]:
    """So many steps of each phase; the first of deploy and of rollback changes the environment."""
    if rollback:
        counts = {**counts, "rollback": 3}
    return tuple(
        Step(
            f"suites/{phase}/t.py::{phase}{n}",
            phase,
            "rollback" if phase == "rollback" else "always",
            changes=n == 0 and phase in {"deploy", "rollback"},
        )
        for phase in PHASES
        for n in range(counts.get(phase, 0))
    )


@st.composite
def plans(draw: st.DrawFn) -> tuple[Step, ...]:
    """A pipeline: some phases, spread and ordered, with a few steps each."""
    phases = ["build", "preflight", "backup", "deploy", "smoke", "traffic", "health"]
    counts = {phase: draw(st.integers(0, 4 if phase in PARALLEL else 2), label=phase) for phase in phases}
    assume(any(counts.values()))
    return steps_of(counts, rollback=draw(st.booleans(), label="rollback"))


def conduct(model: XdistModel, data: st.DataObject, *, odd: float, disturb: bool) -> None:
    """Choose among the moves until none is left. `odd`: how often in twenty something fails or dies."""
    for _ in range(MOVES):
        if model.over:
            return
        moves = model.moves()
        good = [move for move in moves if move[0] not in {"fail", "unrecorded", "die"}]
        bad = [move for move in moves if move not in good]
        assert moves, "a deadlock"
        if disturb and data.draw(st.integers(0, 9)) == 0 and model.accepted:
            model.scheduler.schedule()
        if bad and (not good or data.draw(st.integers(0, 19)) < odd):
            model.act(data.draw(st.sampled_from(bad)))
        else:
            assert good, "a deadlock: only a death could bring the run on"
            model.act(data.draw(st.sampled_from(good)))
    raise AssertionError("the run never ends")


def assert_in_order(model: XdistModel) -> None:
    """Each step at most once; phases one after the other; steps that may not spread in the lock's order, one at a time."""
    began = [step for what, step, _ in model.log if what == "began"]
    assert len(set(began)) == len(began), "a step ran twice"
    place = {step.nodeid: at for at, step in enumerate(model.steps)}
    order = list(PHASES)
    for before, after in itertools.pairwise(began):
        assert order.index(before.phase) <= order.index(after.phase), f"{after.nodeid} after {before.nodeid}"
    alone = [step for step in began if step.phase not in PARALLEL]
    assert alone == sorted(alone, key=lambda step: place[step.nodeid])
    for running in runnings(model):
        assert len({step.phase for step in running}) <= 1, f"phases overlap: {running}"
        assert len(running) <= 1 or running.pop().phase in PARALLEL, "steps that may not spread ran at the same time"


def runnings(model: XdistModel) -> Iterator[set[Step]]:
    """The sets of steps that ran at the same time."""
    running: set[Step] = set()
    for what, step, _ in model.log:
        running = running | {step} if what == "began" else running - {step}
        yield set(running)


def assert_accounted_for(model: XdistModel) -> None:
    """Each step began or has a cause for never beginning; none is still running."""
    began = {step.nodeid for what, step, _ in model.log if what == "began"}
    never = {step.nodeid for step in model.sequence.not_run()}
    started = {step.nodeid for step in model.steps} - never
    assert not model.sequence.running()
    assert began <= started
    assert len(set(model.accepted)) == len(model.accepted), "a collection was held against the lock twice"


@settings(max_examples=50, deadline=None)
@given(plan=plans(), workers=st.integers(1, 4), data=st.data())
def test_without_a_failure_every_step_runs_once_in_order_on_the_workers_there_are(
    plan: tuple[Step, ...], workers: int, data: st.DataObject
) -> None:
    model = XdistModel(plan, workers, deaths=0)

    conduct(model, data, odd=0, disturb=False)

    assert_in_order(model)
    began = {step for what, step, _ in model.log if what == "began"}
    assert {step for step in plan if step.when == "always"} == began
    assert len({worker for _, step, worker in model.log if step.phase not in PARALLEL}) <= 1


@settings(max_examples=150, deadline=None)
@given(plan=plans(), workers=st.integers(1, 4), deaths=st.integers(0, 3), data=st.data())
def test_with_failures_and_deaths_every_run_ends_and_no_step_runs_twice_or_out_of_turn(
    plan: tuple[Step, ...], workers: int, deaths: int, data: st.DataObject
) -> None:
    model = XdistModel(plan, workers, deaths=deaths)

    conduct(model, data, odd=data.draw(st.sampled_from([1, 5]), label="odd"), disturb=True)

    assert_in_order(model)
    assert_accounted_for(model)
