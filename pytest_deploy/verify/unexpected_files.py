"""Before a file is read: a record holds regular files in folders of its own, under names that a list can hold.

A symbolic link leads out of the record, a FIFO never ends, and a name with a line break in it deceives whoever reads a
list of names. Each is a finding of the step that looks at its folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytest_deploy.verify.checks import Finding, Outcome

_FOLDERS: Final = {"log": 1, "trust": 6, "runs": 9, "signoffs": 10, "anchors": 11}
"""The folders of a store, and the step that answers for each."""
_PARTS: Final = frozenset({*_FOLDERS, "verify.sh"})


def misfits(store: Path) -> tuple[Finding, ...]:
    """Everything in the folders of the record that is neither a file nor a folder, or has no name for a list.

    Files of the log itself are left to step 1, which looks at each of their names.
    """
    found: list[Finding] = []
    for name, step in _FOLDERS.items():
        top = store / name
        if not os.path.lexists(top):
            continue
        if top.is_symlink() or not top.is_dir():
            found.append(Finding(step, f"{name}/", "is no folder of its own (a link, or a file)"))
        elif name != "log":
            found += _below(store, name, step)
    return tuple(found)


def blamed(outcome: Outcome, number: int, found: tuple[Finding, ...]) -> Outcome:
    """A step's outcome with the misfits of its folder before what it found itself."""
    mine = tuple(finding for finding in found if finding.step == number)
    return Outcome((*mine, *outcome.findings), outcome.detail, outcome.concluded)


def unreadable(store: Path, number: int, error: OSError) -> Finding:
    """The finding of a step that could not read a file of the store."""
    name = os.path.relpath(error.filename, store) if error.filename is not None else "log/"
    return Finding(number, name, f"cannot be read: {error.strerror}")


def strangers(store: Path) -> tuple[str, ...]:
    """What lies in the store beside the record: nothing is said of it."""
    names = sorted(path.name for path in store.iterdir()) if store.is_dir() else []
    return tuple(name for name in names if name not in _PARTS and not name.startswith("."))


def _below(store: Path, folder: str, step: int) -> Iterator[Finding]:
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
            yield from _below(store, place, step)
        elif not item.is_file(follow_symlinks=False):
            yield Finding(step, place, "is no regular file")
