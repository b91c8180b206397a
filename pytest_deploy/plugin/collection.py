"""The collection: each phase a collector of its own, each item a step, held against suites/steps.lock.

Folder = phase: the standard steps' in this package, the project's own in its suites/. pytest's alphabetical order is not used:
phases stand in the pipeline's order, steps in the lock's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from pytest_deploy.errors import CollectionRefused, UsageError
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.steps_lock import AFTER_OWN, STANDARD_FOLDER, WHENS, Step
from pytest_deploy.plugin import report_writers
from pytest_deploy.policy.phases import PHASES, phases_of
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.replaced_steps import STANDARD
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.plain_text import encodable

STEP = pytest.StashKey[Step]()
STEP_TIMEOUT = pytest.StashKey[float]()
"""Seconds the step may take."""

HOOK_PREFIX = "pytest_deploy_"
"""The hooks a conftest may hold: with any of pytest's own it could drop, reorder, replace or judge steps."""

LONGEST_ID = 1000
"""Characters of a node id: it stands in every event of its step."""

PHASES_TAKEN = pytest.StashKey[tuple[str, ...]]()
"""The phases of the pipeline; absent where every step there is, is asked for."""

IN_ROLLBACK: Final = "rollback"
"""The parameter's value that makes a smoke step a step of the rollback, and its id."""
ROLLED_BACK: Final = ("REQ-o00043-I",)
"""What a smoke step can show in a rollback: that it led back to the release before."""
ROLLED_BACK_BY_HAND: Final = ("REQ-o00044-H",)
"""What it can show in a rollback that somebody asked for."""
_AGAIN: Final = "deploy_phase"
"""The parameter that a smoke step has which runs again in a rollback."""


def collected_by_worker(handover_file: Path) -> list[Step]:
    """The steps that a worker told the controller it collected. Raises pytest.UsageError in its words where it refused."""
    told = msgspec.json.decode(handover_file.read_bytes(), type=list[Step] | str)
    if isinstance(told, str):
        raise pytest.UsageError(told)
    return told


class Phase(pytest.Directory):
    """A phase: the standard steps' files, then those of the folder under suites/; its files are its concerns, and no folders below."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """The phase's files, by name; the lock has the last word on the order."""
        phase = self.path.name
        names = [path.name for path in sorted((STANDARD_FOLDER / phase).glob("test_*.py"))]
        yield from (self._standard(name) for name in names if f"{phase}/{name}" not in AFTER_OWN)
        for path in sorted(self.path.glob("test_*.py")):
            yield from self.ihook.pytest_collect_file(file_path=path, parent=self)
        yield from (self._standard(name) for name in names if f"{phase}/{name}" in AFTER_OWN)

    def _standard(self, name: str) -> pytest.Module:
        """A file of standard steps: it lies outside the checkout's root, so its id is its place in the wheel."""
        path = STANDARD_FOLDER / self.path.name / name
        module: pytest.Module = pytest.Module.from_parent(self, path=path, nodeid=f"{STANDARD}{self.path.name}/{name}")
        return module


class Suites(pytest.Directory):
    """The checkout's suites/: a phase a folder, whether the project has steps of its own there or not."""

    def collect(self) -> Iterator[Phase]:
        """The phases that are asked for, in order; smoke comes along where only its steps of a rollback are."""
        taken = self.config.stash.get(PHASES_TAKEN, PHASES)
        for phase in PHASES:
            if phase in taken or (phase == "smoke" and "rollback" in taken):
                yield Phase.from_parent(self, path=self.path / phase)


def again_in_rollback(metafunc: pytest.Metafunc) -> None:
    """A smoke step marked `step(rollback=True)` is two steps: itself, and one of the rollback, which expects the earlier release.

    Raises pytest.UsageError for the mark on a step of another phase.
    """
    marks = [mark.kwargs["rollback"] for mark in metafunc.definition.iter_markers("step") if "rollback" in mark.kwargs]
    if not marks or not marks[0]:
        return
    phase = phase_of(metafunc.definition)
    if phase != "smoke":
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: step(rollback=True): only a smoke step runs again in a rollback; {phase} is no smoke"
        )
    metafunc.fixturenames.append(_AGAIN)
    again = pytest.param(IN_ROLLBACK, id=IN_ROLLBACK, marks=pytest.mark.step(when="earlier"))
    metafunc.parametrize(_AGAIN, [pytest.param("smoke", id=pytest.HIDDEN_PARAM), again])


class Collection:
    """Maps items to phases by folder and holds the list against the lock."""

    def __init__(
        self,
        config: pytest.Config,
        context: RunContext,
        *,
        policy: Policy,
        handover_file: Path | None = None,
    ) -> None:
        """`policy`: which standard steps are replaced, and which phases left out. `handover_file`: in an xdist worker, the file that tells the controller what was collected; the controller judges."""
        self._handover_file = handover_file
        self._config = config
        self._lock = context.workspace.steps_lock
        self._suites = self._lock.parent
        self._pipeline = context.pipeline
        self._phases = config.stash[PHASES_TAKEN] = phases_of(context.pipeline)
        self._policy = policy
        self._step_timeout_s = policy.step_timeout_s
        self._vetted_plugins: frozenset[int] = frozenset()
        self._accepted = False
        """Whether the collection was taken: from then on no plug-in joins."""
        """The plug-ins that were active, and judged, before a module of suites/ was imported; by identity."""
        self._errors: list[str] = []
        self.steps: tuple[Step, ...] = ()
        """The accepted steps, in order; empty until the collection is accepted."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """The checkout's suites/ is a collector of its own."""
        return Suites.from_parent(parent, path=path) if path == self._suites else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """What is marked to run again in a rollback is a step of it too."""
        again_in_rollback(metafunc)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Remember what is active so far: a module of suites/ brings no plug-in of its own."""
        self._vetted_plugins = frozenset(map(id, self._config.pluginmanager.get_plugins()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_plugin_registered(self, plugin: object, manager: pytest.PytestPluginManager) -> None:
        """Once steps run no plug-in joins: it could run a step in another's place, or judge it. Raises UsageError in who registers it."""
        if self._accepted and id(plugin) not in self._vetted_plugins:
            manager.unregister(plugin)
            raise UsageError(
                f"plug-in {type(plugin).__name__}: it was registered while steps run, and no plug-in joins then; use a fixture"
            )

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A file that exits when it is imported could not be collected: that is all it comes to."""
        try:
            return (yield)
        except (SystemExit, pytest.exit.Exception) as left:
            return pytest.CollectReport(collector.nodeid, "failed", f"it exits when it is imported: {_named(left)}", [])

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected; pytest shows each error whole."""
        if report.failed:
            self._errors.append(f"{report.nodeid or 'suites'}: {_last_line(report.longreprtext)}")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the items into the lock's order. Raises pytest.UsageError where they are not the lock's.

        A worker raises nothing: it tells the controller what it found, which refuses once for all of them.
        """
        try:
            self._refuse_errors()
            self._check_plugins()
            items[:] = [item for item in items if phase_of(item) in self._phases]
            collected = [self._step(item) for item in items]
            self.steps = self.accept(collected)
            self._accepted = True
        except pytest.UsageError as refused:
            if self._handover_file is None:
                raise
            self._handover_file.write_bytes(msgspec.json.encode(str(refused)))
            return
        if self._handover_file is not None:
            self._handover_file.write_bytes(msgspec.json.encode(collected))
        place = {step.nodeid: at for at, step in enumerate(self.steps)}
        items[:] = [item for item in items if item.nodeid in place]  # without those that policy replaces
        items.sort(key=lambda item: place[item.nodeid])

    def accept(self, collected: Sequence[Step]) -> tuple[Step, ...]:
        """Hold a collection against the lock; the lock's steps of this pipeline, in order.

        Raises pytest.UsageError: missing, extra, doubled, out of order, or a phase without a step.
        """
        try:
            expected = steps_lock.accept(
                self._lock, self._pipeline, collected, self._policy.replaced_steps, self._policy.phases.leave_out
            )
        except CollectionRefused as refused:
            raise pytest.UsageError(str(refused)) from None
        verifies = {step.nodeid: step.verifies for step in collected}
        return tuple(replace(step, verifies=verifies[step.nodeid]) for step in expected)

    def _refuse_errors(self) -> None:
        """Raises pytest.UsageError where a file could not be collected, whether or not the lock knows its steps."""
        if self._errors:
            raise pytest.UsageError(
                "\n  ".join(["the suites could not be collected; nothing was opened", *self._errors])
            )

    def _check_plugins(self) -> None:
        """Raises pytest.UsageError for a conftest with a hook of pytest's, and for a plug-in that a module brought."""
        manager = self._config.pluginmanager
        for name, plugin in manager.list_name_plugin():
            if plugin is None:
                continue
            if Path(name).name == "conftest.py":
                # Asked of the manager: a hook may be written under any name (`hookimpl(specname=...)`).
                hooks = sorted(caller.name for caller in manager.get_hookcallers(plugin) or ())
                if foreign_hooks := [name for name in hooks if not name.startswith(HOOK_PREFIX)]:
                    raise pytest.UsageError(
                        f"{name}: {', '.join(foreign_hooks)}: a conftest of a deployment must not drop, reorder, replace or judge "
                        f"steps; fixtures and {HOOK_PREFIX}* hooks are what it may hold"
                    )
            elif id(plugin) not in self._vetted_plugins:
                raise pytest.UsageError(
                    f"plug-in {name}: a module of suites/ brought it (pytest_plugins); steps and fixtures are what a module "
                    "of a deployment may hold"
                )

    def _step(self, item: pytest.Item) -> Step:
        step = step_of(item)
        # Again in a rollback it shows that what was before answers: of the new release it says nothing.
        again = ROLLED_BACK_BY_HAND if self._pipeline == "rollback" else ROLLED_BACK
        claims = again if _runs_again(item) else report_writers.claims(item, self._config.option.deploy_env)
        step = replace(step, verifies=claims)
        item.stash[STEP] = step
        report_writers.label_item(item, step)
        timeouts = [*marked(item, "timeout"), self._step_timeout_s]
        item.stash[STEP_TIMEOUT] = float(timeouts[0])
        return step


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _last_line(text: str) -> str:
    """Where pytest says in one line what was wrong: of a traceback the error itself, else the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"]
    marked = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
    return [*lines[:1], *marked][-1]


def _runs_again(item: pytest.Item) -> bool:
    """Whether it is a smoke step's second life, in the rollback."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get(_AGAIN) == IN_ROLLBACK


def phase_of(item: pytest.Item) -> str:
    """The phase an item is of. Raises pytest.UsageError where it lies in none."""
    if _runs_again(item):
        return IN_ROLLBACK
    for collector in item.iter_parents():
        if isinstance(collector, Phase):
            return collector.path.name
    raise pytest.UsageError(f"{item.nodeid}: not under suites/; a deployment runs the steps of suites/ alone")


def step_of(item: pytest.Item) -> Step:
    """The step an item is. Raises pytest.UsageError where it lies in no phase or its mark is not a step's."""
    if len(item.nodeid) > LONGEST_ID or item.nodeid != encodable(item.nodeid):
        shown = encodable(item.nodeid[:100])
        raise pytest.UsageError(
            f"{shown}: {len(item.nodeid)} characters; a node id is text of {LONGEST_ID} at most: give the parameters ids="
        )
    phase = phase_of(item)
    for mark in item.iter_markers("step"):
        if unknown := set(mark.kwargs) - {"changes", "timeout", "when", "rollback"} or mark.args:
            raise pytest.UsageError(
                f"{item.nodeid}: step mark takes changes=, timeout=, when=, rollback= and not {unknown}"
            )
    when_marked = ["rollback" if phase == "rollback" else "always", *marked(item, "when")][-1]
    when = steps_lock.when_of(when_marked)
    if when is None:
        raise pytest.UsageError(f"{item.nodeid}: when={when_marked!r}; right is one of {', '.join(WHENS)}")
    return Step(item.nodeid, phase, when, changes=bool([*marked(item, "changes"), False][0]))


def marked(item: pytest.Item, key: str) -> list[Any]:
    """What the step marks of an item say of a key: its own first, its module's last."""
    return [mark.kwargs[key] for mark in item.iter_markers("step") if key in mark.kwargs]
