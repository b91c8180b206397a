"""Step 9, and what comes before any file is read: a record holds regular files in folders of its own.

A symbolic link leads out of the record, a FIFO never ends, and a name with a line break in it deceives whoever reads a
list of names. Each is a finding of the step that looks at its folder, and is not opened.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pytest_deploy.record import preimages, stored_file
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RunAbandoned, RunClosed, RunOpened
from pytest_deploy.record.run_folder import ABANDONED_SUMS, SUMS
from pytest_deploy.record.stored_file import Below
from pytest_deploy.verify.chain import Chain
from pytest_deploy.verify.findings import NONE, Check, Finding
from pytest_deploy.verify.segment import WorkerPool, batched

_FOLDERS: Final = {"log": 1, "trust": 6, "runs": 9, "preimages": 9, "signoffs": 10, "anchors": 11}
"""The folders of a store, and the step that answers for each."""
_PARTS: Final = frozenset({*_FOLDERS, "verify.sh"})


MOST_CHANGED: Final = 10
"""Files of one run that are found changed before no further one is read: each may be as large as a file can be."""


def unexpected_files(store: Path) -> tuple[Finding, ...]:
    """Everything in the folders of the record that is neither a file nor a folder, or has no name for a list.

    Files of the log itself are left to step 1, which looks at each of their names.
    """
    findings: list[Finding] = []
    for name, step in _FOLDERS.items():
        top = store / name
        if not os.path.lexists(top):
            continue
        if top.is_symlink() or not top.is_dir():
            findings.append(Finding(step, f"{name}/", "is no folder of its own (a link, or a file)"))
        elif name != "log":
            findings += _unexpected_below(store, name, step)
    return tuple(findings)


PROPOSALS: Final = "rosters"
"""Where rosters wait for administrators: what counts lies in `trust/`."""


def other_files(store: Path) -> tuple[str, ...]:
    """What lies in the store beside the record: nothing is said of it."""
    names = sorted(path.name for path in store.iterdir()) if store.is_dir() else []
    known = {*_PARTS, PROPOSALS}
    return tuple(name for name in names if name not in known and not name.startswith("."))


def check_run_folders(chain: Chain, pool: WorkerPool) -> Check:
    """Step 9: SHA256SUMS of each finished run is the one its last event binds, matches its files, and lists all."""
    findings: list[Finding] = []
    finished = chain.kept_of(RunClosed, RunAbandoned)
    for faults in pool.map(_check_sealed, ((chain.store, events) for events in batched(finished))):
        findings += faults
    for name, is_folder in sorted(subfolders(chain.store / "runs").items()):
        if not is_folder:
            findings.append(Finding(9, f"runs/{name}", "is no folder of a run"))
        elif not chain.stopped and not chain.state.run(name).known:
            findings.append(Finding(9, f"runs/{name}", "no event names this run"))
    kept = preimages.named(chain.kept_of(RunOpened))
    findings += check_preimages(chain.store, kept)
    parts = [f"{len(finished)} sealed folders"] if finished else []
    parts += [f"{len(kept)} texts they were judged by"] if kept else []
    examined = ", ".join(parts) or NONE
    return Check(9, tuple(findings), examined, concluded=not chain.stopped)


def check_preimages(store: Path, named: Collection[str]) -> Iterator[Finding]:
    """What is wrong with the texts that runs were judged by: each lies by its SHA-256, and all that are named are there."""
    present: set[str] = set()
    try:
        folder = stored_file.folder_of(store, f"{preimages.FOLDER}/sha256").parent
    except OSError as error:
        yield Finding.unreadable(9, store, error)
        return
    for item in stored_file.below(folder) if folder.is_dir() else ():
        place, name = f"{preimages.FOLDER}/{item.name}", item.name.removeprefix("sha256/")
        if any(part.startswith(".") for part in item.name.split("/")):
            continue  # a write that never came about
        if item.problem is None:
            present.add(place)
            if preimages.place(name) != place or _changed(item, name) is not None:
                yield Finding(9, place, "is not the text whose SHA-256 is its name")
    for sha256 in sorted(named):
        if preimages.place(sha256) not in present:
            yield Finding(9, preimages.place(sha256), "is missing, though a run was judged by it")


def check_sealed(store: Path, event: Event) -> Iterator[Finding]:
    """What is wrong with the folder of one finished run. `event`: its `run.closed` or `run.abandoned`."""
    sums, bound = _bound_list(event)
    place = f"runs/{event.run}"
    try:
        folder = stored_file.folder_of(store, place)
        text = stored_file.read(folder / sums)
        if hashlib.sha256(text).hexdigest() != bound:
            yield Finding(9, f"{place}/{sums}", f"is not the one event {event.seq} binds")
            return
        listed = _listed(text)
        actual = {item.name: item for item in stored_file.below(folder)}
    except FileNotFoundError:
        yield Finding(9, f"{place}/{sums}", f"is missing, though event {event.seq} binds it")
        return
    except OSError as error:
        yield Finding.unreadable(9, store, error)
        return
    except ValueError as error:
        yield Finding(9, f"{place}/{sums}", f"cannot be held against the files: {error}")
        return
    del actual[sums]
    yield from _differences(place, listed, actual)


def _listed(text: bytes) -> dict[str, str]:
    """Name -> SHA-256 of a list. Raises ValueError where a line of it is none."""
    try:
        # By line feeds alone, as sha256sum reads them: a name may hold what Unicode takes for the end of a line.
        lines = [line.split("  ", 1) for line in text.decode().split("\n")[:-1]]
        return {name: sha256 for sha256, name in lines}
    except ValueError:
        raise ValueError("a line of it is not `SHA-256  name` in UTF-8") from None


def _differences(place: str, listed: Mapping[str, str], actual: Mapping[str, Below]) -> Iterator[Finding]:
    """Where the files of a folder are not those that its list has."""
    changed = 0
    for name in sorted(listed.keys() | actual.keys()):
        if name not in actual:
            yield Finding(9, f"{place}/{name}", "is missing")
        elif (problem := actual[name].problem) is not None:
            yield Finding(9, f"{place}/{name}", problem)
        elif name not in listed:
            yield Finding(9, f"{place}/{name}", "was added after the folder was sealed")
        elif changed < MOST_CHANGED and (problem := _changed(actual[name], listed[name])) is not None:
            changed += 1
            yield Finding(9, f"{place}/{name}", problem)
    if changed == MOST_CHANGED:
        yield Finding(9, place, f"has {MOST_CHANGED} changed files; what comes after the last of them was not read")


def _changed(item: Below, sha256: str) -> str | None:
    """Why a file is not the one that was sealed, or None."""
    try:
        actual = stored_file.sha256(item.path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "was changed after the folder was sealed" if actual != sha256 else None


def _bound_list(event: Event) -> tuple[str, str]:
    """The list of a finished run's files, and the SHA-256 that its last event binds."""
    match event.content:
        case RunClosed(record_sha256=bound):
            return SUMS, bound
        case RunAbandoned(found_sha256=bound):
            return ABANDONED_SUMS, bound
        case _:
            raise ValueError(f"{event.type} ends no run")


def subfolders(place: Path) -> dict[str, bool]:
    """What lies in a folder, and whether each is a folder itself; nothing where there is none."""
    if place.is_symlink() or not place.is_dir():
        return {}
    with os.scandir(place) as items:
        return {item.name: item.is_dir(follow_symlinks=False) for item in items}


def _check_sealed(job: tuple[Path, Sequence[Event]]) -> list[Finding]:
    store, events = job
    return [finding for event in events for finding in check_sealed(store, event)]


def _unexpected_below(store: Path, folder: str, step: int) -> Iterator[Finding]:
    try:
        for item in stored_file.below(store / folder, stored_file.LARGEST[folder]):
            if item.problem is not None:
                yield Finding(step, f"{folder}/{item.name}", item.problem)
    except OSError as error:
        yield Finding(step, f"{folder}/", f"cannot be listed: {error.strerror}")
