"""Steps, and suites/steps.lock: the steps that must exist, in the order they run, the standard ones and the project's own.

The file is reviewed like code: taking a check away, or adding one, shows in it, and so does another version of the standard
steps. Its order is the run's order (the alphabet decides nothing), held against the order in which each file defines its steps.

Example line: `smoke  always  -  pytest_deploy/suites/smoke/test_health.py::test_health_answers_in_time`
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Final, Literal, get_args

from pytest_deploy.errors import CollectionRefused, Fault
from pytest_deploy.policy.phases import PHASES, PIPELINES, phases_of
from pytest_deploy.policy.replaced_steps import STANDARD, ReplacedStep, is_standard
from pytest_deploy.program import NAME
from pytest_deploy.workspace import program_command

_WRITE = program_command("steps", "--write")
HEADER = f"""\
# The steps that must exist, in the order they run: phase, when, changes, node id.
# A run whose collection differs from this list is refused. Written by: {_WRITE}
"""
STANDARD_FOLDER: Final = Path(__file__).parents[1] / "suites"
"""Where the standard steps lie, a folder a phase."""
AFTER_OWN: Final = ("migration/test_service.py",)
"""Its files whose steps come after a project's own of the phase: what they give rests on a schema that an own step may have moved."""
_STANDARD_STEPS: Final = "standard-steps"
"""Begins the line that says of which version the standard steps are, and the SHA-256 of their files."""
_ORDER = {name: place for place, name in enumerate(PHASES)}
REWRITE = f"if the change is meant, run `{_WRITE}` and have the difference reviewed"

When = Literal["always", "rollback", "earlier"]
"""always: must pass. rollback: runs only to undo a change. earlier: a rollback step that needs an earlier release."""

WHENS: tuple[When, ...] = get_args(When)


def when_of(word: object) -> When | None:
    return next((when for when in WHENS if when == word), None)


@dataclass(frozen=True)
class Step:
    nodeid: str
    phase: str
    when: When
    changes: bool
    """Whether it changes the environment; announced in the log before it acts."""
    verifies: tuple[str, ...] = field(default=(), compare=False)
    """The assertions it verifies, as far as its collection is known: the lock does not name them."""

    @property
    def file(self) -> str:
        return self.nodeid.partition("::")[0]

    @property
    def place(self) -> tuple[str, str]:
        """Its phase and its file: a smoke file's steps that run again in a rollback have an order of their own there."""
        return self.phase, self.file

    @property
    def title(self) -> str:
        """The step's claim in words, from its name: `test_health_answers_200` reads `health answers 200`."""
        return title_of(self.nodeid)


def title_of(nodeid: str) -> str:
    file, colons, inside = nodeid.partition("::")
    name, bracket, parameters = (inside if colons else file).partition("[")  # parameters may hold colons too
    words = name.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return f"{words} [{parameters}" if bracket else words


def standard_files() -> dict[str, bytes]:
    """The files of the standard steps, by name from their folder."""
    found = sorted(STANDARD_FOLDER.rglob("*.py"))
    return {path.relative_to(STANDARD_FOLDER).as_posix(): path.read_bytes() for path in found}


def _standard_sha256() -> str:
    """SHA-256 hex over names and bytes of the standard steps' files."""
    lines = (f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in standard_files().items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


# --- the lock


def read(path: Path) -> tuple[Step, ...]:
    """The steps of a lock file. Raises CollectionRefused listing every line that is not one."""
    if not path.is_file():
        raise CollectionRefused(
            "no steps to hold the collection against", [Fault(str(path), None, "", "missing", REWRITE)]
        )
    steps: list[Step] = []
    faults: list[Fault] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith(("#", f"{_STANDARD_STEPS} ")):
            continue
        match line.split(maxsplit=3):
            case [phase, word, "changes" | "-" as changes, nodeid] if phase in PHASES and (when := when_of(word)):
                steps.append(Step(nodeid.strip(), phase, when, changes=changes == "changes"))
            case _:
                remedy = f"right is: <phase> <{'|'.join(WHENS)}> <changes|-> <node id>"
                faults.append(Fault(path.name, number, "", f"not a step: {line.strip()!r}", remedy))
    faults += [
        Fault(path.name, None, nodeid, "listed more than once", "right is one line a step")
        for nodeid, count in Counter(step.nodeid for step in steps).items()
        if count > 1
    ]
    faults += [
        Fault(
            path.name,
            None,
            after.nodeid,
            f"phase {after.phase} stands after {before.phase}",
            "right is the order of phases",
        )
        for before, after in pairwise(steps)
        if _ORDER[after.phase] < _ORDER[before.phase]
    ]
    if faults:
        raise CollectionRefused(str(path), faults)
    return tuple(steps)


def write(path: Path, collected: Sequence[Step]) -> tuple[Step, ...]:
    """Write the lock for what is collected: known steps keep their place, new ones follow in their phase.

    What has to come after a step of its phase does, whichever of the two is new.
    """
    known: tuple[Step, ...] = ()
    with suppress(CollectionRefused):
        known = read(path)
    places = {step.nodeid: place for place, step in enumerate(known)}
    place = {step.nodeid: places.get(step.nodeid, len(places) + at) for at, step in enumerate(collected)}
    steps = sorted(collected, key=lambda step: (_ORDER[step.phase], _turn(step), place[step.nodeid]))
    # Steps of one file stand in the order the file defines them, in the places the file's steps hold.
    queues = {step.place: iter([s for s in collected if s.place == step.place]) for step in collected}
    path.write_text(render(next(queues[step.place]) for step in steps), encoding="utf-8")
    return read(path)


def _turn(step: Step) -> int:
    """In which part of its phase a step has its turn: what leads back comes before what asks whether it did."""
    if step.phase == "rollback":
        return 2 if step.when == "earlier" else int(not step.changes)
    return int(step.file.removeprefix(STANDARD) in AFTER_OWN)


def render(steps: Iterable[Step]) -> str:
    """The lock that lists these: with version and digest of the standard steps where there are such among them."""
    steps = tuple(steps)
    lines = [f"{s.phase:<12}{s.when:<10}{'changes' if s.changes else '-':<9}{s.nodeid}\n" for s in steps]
    standard = any(is_standard(step.nodeid) for step in steps)
    first = f"{_STANDARD_STEPS} {version(NAME)} {_standard_sha256()}\n" if standard else ""
    return HEADER + first + "".join(lines)


def refuse_other_standard(path: Path) -> None:
    """Raises CollectionRefused where the standard steps are not those that the lock was written for, by version and by content.

    The lock is in the commit and the standard steps are not: by its digest people review, and approve, what they are.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if not any(STANDARD in line for line in lines if not line.startswith("#")):
        return
    locked = next((line.split()[1:] for line in lines if line.startswith(f"{_STANDARD_STEPS} ")), [])
    installed = [version(NAME), _standard_sha256()]
    if locked == installed:
        return
    if locked[:1] == installed[:1]:
        problem = "their files are not those that the lock was written for, of the same version"
        remedy = f"install the package anew, by hash; {REWRITE}"
    else:
        problem = f"version {' '.join(locked[:1]) or 'none'} is locked, {installed[0]} is installed"
        remedy = f"install the locked version; {REWRITE}"
    raise CollectionRefused(
        "the standard steps are others than the lock's; nothing was touched",
        [Fault("suites/steps.lock", None, _STANDARD_STEPS, problem, remedy)],
    )


def of_pipeline(path: Path, pipeline: str) -> tuple[Step, ...]:
    """The steps of a lock file that a pipeline takes, in order, as it takes them. Raises CollectionRefused."""
    return _as_taken(_of_phases(path, pipeline), pipeline)


def _of_phases(path: Path, pipeline: str) -> tuple[Step, ...]:
    phases = phases_of(pipeline)
    return tuple(step for step in read(path) if step.phase in phases)


def _as_taken(steps: Iterable[Step], pipeline: str) -> tuple[Step, ...]:
    """The steps with when they run in this pipeline: where it runs a phase whatever happens, each step of it must pass."""
    phases = PIPELINES[pipeline].phases
    return tuple(replace(step, when="always") if step.phase in phases else step for step in steps)


def accept(
    lock: Path,
    pipeline: str,
    collected: Sequence[Step],
    replaced: Mapping[str, ReplacedStep] | None = None,
    left_out: Collection[str] = (),
) -> tuple[Step, ...]:
    """The lock's steps of a pipeline, in order, where the collection is these, without those that policy has replaced.

    Raises CollectionRefused. `left_out`: the phases that policy leaves out, which need no step.
    """
    refuse_strays(lock.parent)
    refuse_other_standard(lock)
    expected = _of_phases(lock, pipeline)
    compare(expected, collected)
    expected = _as_taken(_without(expected, pipeline, replaced or {}), pipeline)
    having_steps = {*left_out, *(step.phase for step in expected)}
    faults = [
        Fault("suites", None, phase, "a phase without a step", f"put steps into suites/{phase}")
        for phase in phases_of(pipeline)
        if phase not in having_steps
    ]
    if faults:
        raise CollectionRefused(f"pipeline {pipeline}", faults)
    return expected


def _without(steps: tuple[Step, ...], pipeline: str, replaced: Mapping[str, ReplacedStep]) -> tuple[Step, ...]:
    """The steps without the replaced ones. Raises CollectionRefused for one that is not there, or has no step in its place."""
    phases = phases_of(pipeline)
    phase_of = {step.nodeid: step.phase for step in steps}
    faults = []
    for nodeid, entry in replaced.items():
        if entry.phase_of(nodeid) not in phases:
            continue
        if nodeid not in phase_of:
            faults.append(
                Fault("deploy.yaml", None, f"replaced_steps.{nodeid}", "there is no such standard step", REWRITE)
            )
        elif phase_of.get(entry.by) != phase_of[nodeid]:
            remedy = f"right is a step of suites/{phase_of[nodeid]} that suites/steps.lock lists"
            faults.append(
                Fault("deploy.yaml", None, f"replaced_steps.{nodeid}.by", f"{entry.by} is not collected there", remedy)
            )
    if faults:
        raise CollectionRefused("steps that deploy.yaml replaces", faults)
    return tuple(step for step in steps if step.nodeid not in replaced)


def digest(steps: Sequence[Step]) -> str:
    """SHA-256 hex of the node ids, one a line, in order: `run.planned` carries it."""
    return hashlib.sha256("".join(f"{step.nodeid}\n" for step in steps).encode()).hexdigest()


def compare(expected: Sequence[Step], collected: Sequence[Step]) -> None:
    """Hold a collection against the lock. Raises CollectionRefused: missing, extra, doubled, changed, out of order."""
    faults = list(_differences(expected, collected)) or list(_out_of_order(expected, collected))
    if faults:
        raise CollectionRefused(
            "the collected steps are not those of the lock; nothing was touched",
            [Fault("suites/steps.lock", None, *fault) for fault in sorted(faults, key=itemgetter(0))],
        )


def _differences(expected: Sequence[Step], collected: Sequence[Step]) -> Iterator[tuple[str, str, str]]:
    """What is another step: node id, problem, remedy."""
    by_nodeid = {step.nodeid: step for step in expected}
    counts = Counter(step.nodeid for step in collected)
    for nodeid in by_nodeid.keys() - counts.keys():
        yield nodeid, "in the lock, but not collected", f"restore the step; {REWRITE}"
    for step in collected:
        locked = by_nodeid.get(step.nodeid)
        if locked is None:
            yield step.nodeid, "collected, but not in the lock", f"remove the step; {REWRITE}"
        elif step != locked:
            values = [(name, getattr(locked, name), getattr(step, name)) for name in ("phase", "when", "changes")]
            problem = ", ".join(f"{name} is {is_!r} and was {was!r}" for name, was, is_ in values if was != is_)
            yield step.nodeid, problem, REWRITE
    for nodeid, count in counts.items():
        if count > 1:
            yield nodeid, f"collected {count} times", "collect each step once"


def _out_of_order(expected: Sequence[Step], collected: Sequence[Step]) -> Iterator[tuple[str, str, str]]:
    """The first step of each file that stands elsewhere than its file defines it: node id, problem, remedy."""
    for place_ in dict.fromkeys(step.place for step in expected):
        locked = [step.nodeid for step in expected if step.place == place_]
        defined = [step.nodeid for step in collected if step.place == place_]
        for place, (locked_id, collected_id) in enumerate(zip(locked, defined, strict=True), start=1):
            if locked_id != collected_id:
                problem = f"out of order: place {place} of its file is {collected_id.rpartition('::')[2]}"
                yield locked_id, problem, f"restore the order; {REWRITE}"
                break


def refuse_strays(suites: Path) -> None:
    """Raises CollectionRefused for Python files under suites/ that no phase would ever run: they look as if they ran."""
    strays = []
    for path in sorted(suites.rglob("*.py")):
        parts = path.relative_to(suites).parts
        in_phase = len(parts) == 2 and parts[0] in PHASES and path.match("test_*.py")  # noqa: PLR2004 -- phase and file
        if not in_phase and path.name not in {"conftest.py", "__init__.py"}:
            remedy = "right is suites/<phase>/test_<concern>.py, with <phase> one of the pipeline's"
            strays.append(Fault(f"suites/{path.relative_to(suites).as_posix()}", None, "", "no phase runs it", remedy))
    if strays:
        raise CollectionRefused("files under suites/ that no phase runs", strays)
