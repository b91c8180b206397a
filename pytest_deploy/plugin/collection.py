"""The collection: each phase a collector of its own, each item a step, held against suites/steps.lock.

Folder = phase. pytest's alphabetical order is not used: phases stand in the pipeline's order, steps in the lock's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_deploy.errors import CollectionRefused, Fault, UsageError
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.steps_lock import WHENS, Step
from pytest_deploy.plugin import report_writers
from pytest_deploy.policy.phases import PHASES, phases_of
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.plain_text import encodable

STEP = pytest.StashKey[Step]()
STEP_TIMEOUT = pytest.StashKey[float]()
"""Seconds the step may take."""

HOOK_PREFIX = "pytest_deploy_"
"""The hooks a conftest may hold: with any of pytest's own it could drop, reorder, replace or judge steps."""

LONGEST_ID = 1000
"""Characters of a node id: it stands in every event of its step."""

_COLLECTED = "PYTEST_DEPLOY_COLLECTED"
"""The variable that names the file into which `collect` has the steps written."""
_COLLECT_S = 120


def collected_by_worker(handover_file: Path) -> list[Step]:
    """The steps that a worker told the controller it collected. Raises pytest.UsageError in its words where it refused."""
    told = msgspec.json.decode(handover_file.read_bytes(), type=list[Step] | str)
    if isinstance(told, str):
        raise pytest.UsageError(told)
    return told


class Phase(pytest.Directory):
    """A folder under suites/ that is a phase: its files are its concerns, and it has no folders below."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """The phase's files, by name; the lock has the last word on the order."""
        for path in sorted(self.path.glob("test_*.py")):
            yield from self.ihook.pytest_collect_file(file_path=path, parent=self)


class Collection:
    """Maps items to phases by folder and holds the list against the lock."""

    def __init__(
        self,
        config: pytest.Config,
        context: RunContext,
        *,
        step_timeout_s: float,
        handover_file: Path | None = None,
    ) -> None:
        """`handover_file`: in an xdist worker, the file that tells the controller what was collected; the controller judges."""
        self._handover_file = handover_file
        self._config = config
        self._lock = context.workspace.steps_lock
        self._suites = self._lock.parent
        self._phases = phases_of(context.pipeline)
        self._pipeline = context.pipeline
        self._step_timeout_s = step_timeout_s
        self._vetted_plugins: frozenset[int] = frozenset()
        self._accepted = False
        """Whether the collection was taken: from then on no plug-in joins."""
        """The plug-ins that were active, and judged, before a module of suites/ was imported; by identity."""
        self._errors: list[str] = []
        self.steps: tuple[Step, ...] = ()
        """The accepted steps, in order; empty until the collection is accepted."""

    def folders(self) -> list[str]:
        """What pytest is to collect: the pipeline's phases, in order, as far as they have a folder."""
        return [str(self._suites / phase) for phase in self._phases if (self._suites / phase).is_dir()]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """A phase's folder becomes a collector of its own."""
        if path.parent == self._suites and path.name in self._phases:
            return Phase.from_parent(parent, path=path)
        return None

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
        items.sort(key=lambda item: place[item.nodeid])

    def accept(self, collected: Sequence[Step]) -> tuple[Step, ...]:
        """Hold a collection against the lock; the lock's steps of this pipeline, in order.

        Raises pytest.UsageError: missing, extra, doubled, out of order, or a phase without a step.
        """
        try:
            expected = steps_lock.accept(self._lock, self._pipeline, collected)
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
        claims = report_writers.claims(item, self._config.option.deploy_env)
        step = replace(step_of(item, self._suites), verifies=claims)
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


def step_of(item: pytest.Item, suites: Path) -> Step:
    """The step an item is. Raises pytest.UsageError where it lies in no phase or its mark is not a step's."""
    if len(item.nodeid) > LONGEST_ID or item.nodeid != encodable(item.nodeid):
        shown = encodable(item.nodeid[:100])
        raise pytest.UsageError(
            f"{shown}: {len(item.nodeid)} characters; a node id is text of {LONGEST_ID} at most: give the parameters ids="
        )
    try:
        phase = item.path.relative_to(suites).parts[0]
    except ValueError:
        raise pytest.UsageError(
            f"{item.nodeid}: not under suites/; a deployment runs the steps of suites/ alone"
        ) from None
    if phase not in PHASES:
        raise pytest.UsageError(f"{item.nodeid}: {phase} is no phase; right is one of {', '.join(PHASES)}")
    for mark in item.iter_markers("step"):
        if unknown := set(mark.kwargs) - {"changes", "timeout", "when"} or mark.args:
            raise pytest.UsageError(f"{item.nodeid}: step mark takes changes=, timeout=, when= and not {unknown}")
    when_marked = ["rollback" if phase == "rollback" else "always", *marked(item, "when")][-1]
    when = steps_lock.when_of(when_marked)
    if when is None:
        raise pytest.UsageError(f"{item.nodeid}: when={when_marked!r}; right is one of {', '.join(WHENS)}")
    return Step(item.nodeid, phase, when, changes=bool([*marked(item, "changes"), False][0]))


def marked(item: pytest.Item, key: str) -> list[Any]:
    """What the step marks of an item say of a key: its own first, its module's last."""
    return [mark.kwargs[key] for mark in item.iter_markers("step") if key in mark.kwargs]


# --- what `pytest-deploy steps` needs: the steps that the suites hold now, held against nothing
#
# `collect` runs pytest in a process of its own, with this module as its plug-in: the two hooks below are its.


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A phase's folder becomes a collector of its own, whatever the pipeline."""
    if path.parent == parent.config.rootpath / "suites" and path.name in PHASES:
        return Phase.from_parent(parent, path=path)
    return None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write what was found, as a lock would."""
    suites = session.config.rootpath / "suites"
    Path(os.environ[_COLLECTED]).write_text(
        steps_lock.render(step_of(item, suites) for item in session.items), encoding="utf-8"
    )


def collect(root: Path) -> tuple[Step, ...]:
    """Collect `root`/suites with pytest. Raises CollectionRefused with pytest's words where that fails."""
    steps_lock.refuse_strays(root / "suites")
    folders = [str(root / "suites" / phase) for phase in PHASES if (root / "suites" / phase).is_dir()]
    with tempfile.TemporaryDirectory() as place:
        collected_path = Path(place) / "steps"
        words = [sys.executable, "-m", "pytest", "-p", __name__, "--collect-only", "-qq", f"--rootdir={root}", *folders]
        ran = subprocess.run(
            words,
            cwd=root,
            env=os.environ | {_COLLECTED: str(collected_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=_COLLECT_S,
        )
        if ran.returncode or not folders:
            output = (ran.stdout + ran.stderr).strip()
            raise CollectionRefused("the suites", [Fault("suites", None, "", "pytest could not collect them", output)])
        return steps_lock.read(collected_path)
