"""Step 9, and what comes before any file is read: a record holds regular files in folders of its own.

A symbolic link leads out of the record, a FIFO never ends, and a name with a line break in it deceives whoever reads a
list of names. Each is a finding of the step that looks at its folder, and is not opened.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pytest_deploy.errors import RecordError
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RunAbandoned, RunClosed
from pytest_deploy.record.run_folder import ABANDONED_SUMS, SUMS, listing
from pytest_deploy.verify.chain import Chain
from pytest_deploy.verify.findings import NONE, Check, Finding
from pytest_deploy.verify.segment import WorkerPool, batched

_FOLDERS: Final = {"log": 1, "trust": 6, "runs": 9, "signoffs": 10, "anchors": 11}
"""The folders of a store, and the step that answers for each."""
_PARTS: Final = frozenset({*_FOLDERS, "verify.sh"})


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


def other_files(store: Path) -> tuple[str, ...]:
    """What lies in the store beside the record: nothing is said of it."""
    names = sorted(path.name for path in store.iterdir()) if store.is_dir() else []
    return tuple(name for name in names if name not in _PARTS and not name.startswith("."))


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
    examined = f"{len(finished)} sealed folders" if finished else NONE
    return Check(9, tuple(findings), examined, concluded=not chain.stopped)


def check_sealed(store: Path, event: Event) -> Iterator[Finding]:
    """What is wrong with the folder of one finished run. `event`: its `run.closed` or `run.abandoned`."""
    sums, bound = _bound_list(event)
    folder = store / "runs" / event.run
    place = f"runs/{event.run}"
    try:
        if not stat.S_ISREG((folder / sums).lstat().st_mode):
            return  # named among the unexpected files
        text = (folder / sums).read_bytes()
        if hashlib.sha256(text).hexdigest() != bound:
            yield Finding(9, f"{place}/{sums}", f"is not the one event {event.seq} binds")
            return
        # By line feeds alone, as sha256sum reads them: a name may hold what Unicode takes for the end of a line.
        lines = [line.split("  ", 1) for line in text.decode().split("\n")[:-1]]
        listed = {name: sha256 for sha256, name in lines}
        actual = listing(folder)
    except FileNotFoundError:
        yield Finding(9, f"{place}/{sums}", f"is missing, though event {event.seq} binds it")
        return
    except OSError as error:
        yield Finding.unreadable(9, store, error)
        return
    except (RecordError, ValueError) as error:
        yield Finding(9, f"{place}/{sums}", f"cannot be held against the files: {error}")
        return
    del actual[sums]
    for name in sorted(listed.keys() | actual.keys()):
        if name not in actual:
            yield Finding(9, f"{place}/{name}", "is missing")
        elif name not in listed:
            yield Finding(9, f"{place}/{name}", "was added after the folder was sealed")
        elif actual[name] != listed[name]:
            yield Finding(9, f"{place}/{name}", "was changed after the folder was sealed")


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
    if not place.is_dir():
        return {}
    with os.scandir(place) as items:
        return {item.name: item.is_dir(follow_symlinks=False) for item in items}


def _check_sealed(job: tuple[Path, Sequence[Event]]) -> list[Finding]:
    store, events = job
    return [finding for event in events for finding in check_sealed(store, event)]


def _unexpected_below(store: Path, folder: str, step: int) -> Iterator[Finding]:
    try:
        listed = sorted(os.scandir(store / folder), key=lambda item: item.name)
    except OSError as error:
        yield Finding(step, f"{folder}/", f"cannot be listed: {error.strerror}")
        return
    for item in listed:
        place = f"{folder}/{item.name}"
        if any(character < " " or character in "\x7f\\" for character in item.name):
            yield Finding(step, place, "has a control character or a backslash in its name")
        elif item.is_dir(follow_symlinks=False):
            yield from _unexpected_below(store, place, step)
        elif not item.is_file(follow_symlinks=False):
            yield Finding(step, place, "is no regular file")
