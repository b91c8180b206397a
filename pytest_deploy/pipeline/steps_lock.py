"""Steps, and suites/steps.lock: the steps that must exist, in the order they run.

The file is reviewed like code: taking a check away, or adding one, shows in it. Its order is the run's order (the
alphabet decides nothing), held against the order in which each file defines its steps.

Example line: `smoke  always  -  suites/smoke/test_api.py::test_health_answers_200`
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pytest_deploy.errors import CollectionRefused, Fault
from pytest_deploy.policy.phases import PHASES, phases_of

HEADER = """\
# The steps that must exist, in the order they run: phase, when, changes, node id.
# A run whose collection differs from this list is refused. Written by: python deploy.py steps --write
"""
_ORDER = {name: place for place, name in enumerate(PHASES)}
REWRITE = "if the change is meant, run `python deploy.py steps --write` and have the difference reviewed"

When = Literal["always", "rollback", "earlier"]
"""always: must pass. rollback: runs only to undo a change. earlier: a rollback step that needs an earlier release."""

WHENS: tuple[When, ...] = get_args(When)


@dataclass(frozen=True)
class Step:
    """One step of one phase."""

    nodeid: str
    phase: str
    when: When
    changes: bool
    """Whether it changes the environment; announced in the log before it acts."""
    verifies: tuple[str, ...] = field(default=(), compare=False)
    """The assertions it verifies, as far as its collection is known: the lock does not name them."""

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Step:
        """From `to_json`."""
        return cls(**{**value, "verifies": tuple(value["verifies"])})

    def to_json(self) -> dict[str, Any]:
        """What a worker tells the controller of a step it collected."""
        return {**asdict(self), "verifies": list(self.verifies)}

    @property
    def file(self) -> str:
        """The file part of the node id."""
        return self.nodeid.partition("::")[0]

    @property
    def title(self) -> str:
        """The step's claim in words, from its name: `test_health_answers_200` reads `health answers 200`."""
        return title_of(self.nodeid)


def title_of(nodeid: str) -> str:
    """The claim in a node id, in words."""
    name, bracket, parameters = nodeid.rpartition("::")[2].partition("[")
    words = name.removeprefix("test_").replace("_", " ")
    return f"{words} [{parameters}" if bracket else words


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
        if not line.strip() or line.startswith("#"):
            continue
        step = _parse(line)
        if step is None:
            remedy = f"right is: <phase> <{'|'.join(WHENS)}> <changes|-> <node id>"
            faults.append(Fault(path.name, number, "", f"not a step: {line.strip()!r}", remedy))
        else:
            steps.append(step)
    faults += [
        Fault(path.name, None, nodeid, "listed more than once", "right is one line a step")
        for nodeid, count in Counter(step.nodeid for step in steps).items()
        if count > 1
    ]
    faults += _phase_order(path.name, steps)
    if faults:
        raise CollectionRefused(str(path), faults)
    return tuple(steps)


def write(path: Path, collected: Sequence[Step]) -> tuple[Step, ...]:
    """Write the lock for what is collected: known steps keep their place, new ones follow in their phase."""
    places = {step.nodeid: place for place, step in enumerate(_known(path))}
    place = {step.nodeid: places.get(step.nodeid, len(places) + at) for at, step in enumerate(collected)}
    steps = sorted(collected, key=lambda step: (_ORDER[step.phase], place[step.nodeid]))
    path.write_text(render(_in_file_order(steps, collected)), encoding="utf-8")
    return read(path)


def render(steps: Iterable[Step]) -> str:
    """The lock file's text."""
    lines = [f"{s.phase:<12}{s.when:<10}{'changes' if s.changes else '-':<9}{s.nodeid}\n" for s in steps]
    return HEADER + "".join(lines)


def digest_of_pipeline(path: Path, pipeline: str) -> str:
    """The digest of the steps of a lock file that a pipeline takes, hex. Raises CollectionRefused."""
    return digest([step for step in read(path) if step.phase in phases_of(pipeline)])


def digest(steps: Sequence[Step]) -> str:
    """SHA-256 hex of the node ids, one a line, in order: `run.planned` carries it."""
    return hashlib.sha256("".join(f"{step.nodeid}\n" for step in steps).encode()).hexdigest()


def compare(expected: Sequence[Step], collected: Sequence[Step], *, lock: str = "suites/steps.lock") -> None:
    """Hold a collection against the lock. Raises CollectionRefused: missing, extra, doubled, changed, out of order."""
    faults: list[Fault] = []
    by_nodeid = {step.nodeid: step for step in expected}
    counts = Counter(step.nodeid for step in collected)
    faults += [
        Fault(lock, None, nodeid, "in the lock, but not collected", f"restore the step; {REWRITE}")
        for nodeid in by_nodeid.keys() - counts.keys()
    ]
    for step in collected:
        if step.nodeid not in by_nodeid:
            faults.append(
                Fault(lock, None, step.nodeid, "collected, but not in the lock", f"remove the step; {REWRITE}")
            )
        elif step != by_nodeid[step.nodeid]:
            faults.append(Fault(lock, None, step.nodeid, _difference(by_nodeid[step.nodeid], step), REWRITE))
    faults += [
        Fault(lock, None, nodeid, f"collected {count} times", "collect each step once")
        for nodeid, count in counts.items()
        if count > 1
    ]
    if not faults:
        faults = _file_order(lock, expected, collected)
    if faults:
        raise CollectionRefused(
            "the collected steps are not those of the lock; nothing was touched", sorted(faults, key=lambda f: f.key)
        )


def strays(suites: Path) -> list[Fault]:
    """Python files under suites/ that no phase would ever run: a check that looks as if it ran, and does not."""
    files = []
    for path in sorted(suites.rglob("*.py")):
        parts = path.relative_to(suites).parts
        in_phase = len(parts) == 2 and parts[0] in PHASES and path.match("test_*.py")  # noqa: PLR2004 -- phase and file
        if not in_phase and path.name not in {"conftest.py", "__init__.py"}:
            remedy = "right is suites/<phase>/test_<concern>.py, with <phase> one of the pipeline's"
            files.append(Fault(f"suites/{path.relative_to(suites).as_posix()}", None, "", "no phase runs it", remedy))
    return files


def _parse(line: str) -> Step | None:
    parts = line.split(maxsplit=3)
    if len(parts) != 4 or parts[0] not in PHASES or parts[1] not in WHENS or parts[2] not in {"changes", "-"}:  # noqa: PLR2004 -- the four columns
        return None
    when: When = next(word for word in WHENS if word == parts[1])
    return Step(nodeid=parts[3].strip(), phase=parts[0], when=when, changes=parts[2] == "changes")


def _known(path: Path) -> tuple[Step, ...]:
    try:
        return read(path)
    except CollectionRefused:
        return ()


def _in_file_order(steps: Sequence[Step], collected: Sequence[Step]) -> list[Step]:
    """Steps of one file stand in the order the file defines them, in the places the file's steps hold."""
    queues = {step.file: iter([s for s in collected if s.file == step.file]) for step in collected}
    return [next(queues[step.file]) for step in steps]


def _file_order(lock: str, expected: Sequence[Step], collected: Sequence[Step]) -> list[Fault]:
    faults = []
    for file in dict.fromkeys(step.file for step in expected):
        locked = [step.nodeid for step in expected if step.file == file]
        defined = [step.nodeid for step in collected if step.file == file]
        for place, (locked_id, collected_id) in enumerate(zip(locked, defined, strict=True), start=1):
            if locked_id != collected_id:
                problem = f"out of order: place {place} of its file is {collected_id.rpartition('::')[2]}"
                faults.append(Fault(lock, None, locked_id, problem, f"restore the order; {REWRITE}"))
                break
    return faults


def _phase_order(name: str, steps: Sequence[Step]) -> list[Fault]:
    order = [_ORDER[step.phase] for step in steps]
    return [
        Fault(
            name, None, after.nodeid, f"phase {after.phase} stands after {before.phase}", "right is the order of phases"
        )
        for before, after, a, b in zip(steps, steps[1:], order, order[1:], strict=False)
        if b < a
    ]


def _difference(wanted: Step, found: Step) -> str:
    pairs = [
        ("phase", wanted.phase, found.phase),
        ("when", wanted.when, found.when),
        ("changes", wanted.changes, found.changes),
    ]
    return ", ".join(f"{what} is {is_!r} and was {was!r}" for what, was, is_ in pairs if was != is_)
