"""The folder of one run: files made once while it lasts, sealed by SHA256SUMS when it closes.

SHA256SUMS has one line a file (hash, two spaces, path inside the folder), regular files only, itself excepted;
`sha256sum --strict -c SHA256SUMS` passes inside. It is the last file written, and run.closed binds its hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytest_deploy.errors import RecordError
from pytest_deploy.record import atomic_file, stored_file
from pytest_deploy.record.plain_text import escape_line
from pytest_deploy.record.run_id import named_at
from pytest_deploy.record.store import Exists, Store, unavailable
from pytest_deploy.record.stored_file import Below

SUMS: Final = "SHA256SUMS"
ABANDONED_SUMS: Final = "FOUND.SHA256SUMS"
"""What recover writes over the files of a run it abandons; run.abandoned binds it."""
REFUSED: Final = "refused"
"""The folder of the pages of refused starts, each named by the number of the last event that it knows."""
OWN: Final = (
    SUMS, ABANDONED_SUMS, "junit.xml", "pytest.html", "allure-results", "statement.json", "report.html", "request.json", "approvals", REFUSED,
)  # fmt: skip
"""What a run writes itself: no step's file may lie there."""


ASIDE: Final = ".set-aside"
"""The folder of a store, and no part of the record, for what lay in a run's folder and could not be sealed."""


class RunFolder:
    """`runs/<run_id>/` of a store."""

    def __init__(self, store: Store, run: str) -> None:
        named_at(run)  # a name that is no run's must not become a path
        self.run = run
        self._store = store
        self._prefix = f"runs/{run}/"

    @property
    def path(self) -> Path:
        """The folder on this machine, with all that the store holds of it now."""
        self._store.folder(self._prefix)
        return self._folder

    @property
    def _folder(self) -> Path:
        """Raises RecordTampered where it is a link."""
        try:
            return stored_file.folder_of(self._store.path, f"runs/{self.run}")
        except stored_file.NotOfARecord as error:
            raise unavailable(self._store.path, error) from error

    def create(self, name: str, data: bytes) -> Path:
        """Make a file (0644, folders 0755), durably, once; `name` is relative, with `/` between parts.

        Where the very same bytes lie there it is made already: a process that was killed got that far.
        Raises RecordError where others do, where the folder is sealed, or the name leads elsewhere; StoreUnavailable.
        """
        _check_file(name, len(data))
        if self.sealed:
            raise RecordError(f"{self._prefix} is sealed; {name} cannot be added")
        return self._create(name, data)

    @property
    def sealed(self) -> bool:
        """Whether its list lies in it, whatever the log says of that."""
        return any((self._folder / sums).exists() for sums in (SUMS, ABANDONED_SUMS))

    def set_aside(self) -> tuple[str, ...]:
        """Take out of the folder what somebody laid there by hand and no record holds; a sentence for each.

        A link, a name that no list has, what is too large, or in no bucket: the seal would fail on it. It lies in
        `.set-aside/` of the store from then on, which is no part of the record. Raises StoreUnavailable where it cannot be moved.
        """
        kept = set(self._store.names(self._prefix))
        found: dict[str, str] = {}
        for item in stored_file.below(self._folder) if self._folder.is_dir() else ():
            parts = item.name.split("/")
            bad = next((n for n, part in enumerate(parts, 1) if part != encodable_name(part)), None)
            if item.problem is not None:
                found[item.name] = item.problem
            elif bad is not None:
                found["/".join(parts[:bad])] = "has a name that is no UTF-8"
            elif f"{self._prefix}{item.name}" not in kept and not parts[-1].startswith("."):
                found[item.name] = "is in the copy of the record alone"
        aside = self._store.path / ASIDE / self.run
        before = len(list(aside.iterdir())) if aside.is_dir() else 0
        sentences = []
        for number, (name, problem) in enumerate(found.items(), before + 1):
            try:
                stored_file.folder_of(self._store.path, f"{ASIDE}/{self.run}").mkdir(parents=True, exist_ok=True)
                (self._folder / name).rename(aside / str(number))
            except OSError as error:
                # What lies in this place is no part of the record: it is the disk that is not as it should be.
                raise unavailable(aside, OSError(error.errno, error.strerror)) from error
            shown = escape_line(f"{self._prefix}{encodable_name(name)} {problem}")
            sentences.append(f"{shown}; it lies now at {ASIDE}/{self.run}/{number} of the store")
        return tuple(sentences)

    def seal(self, *, sums: str = SUMS) -> str:
        """Write the list of all files and return its SHA-256, hex; the same files can be sealed again, with the same result.

        So a process that was killed after its seal, before the event that binds it, leaves nothing that cannot be finished.
        Unfinished writes go. Raises RecordError where another list lies there, for a symbolic link, anything else that is no
        file of a record (`stored_file.below`); OSError.
        """
        atomic_file.sweep(self.path)
        files = listing(self.path)
        files.pop(sums, None)
        text = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items())).encode()
        self._create(sums, text)
        return hashlib.sha256(text).hexdigest()

    def _create(self, name: str, data: bytes) -> Path:
        try:
            self._store.create(self._prefix + name, data)
        except Exists:
            if self._store.get(self._prefix + name) != data:
                raise
        return self._folder / name


def encodable_name(name: str) -> str:
    """A file's name as a list can hold it: a byte that is no UTF-8, and half of a surrogate pair, as `%dcff`."""
    return "".join(f"%{ord(char):x}" if 0xD800 <= ord(char) <= 0xDFFF else char for char in name)  # noqa: PLR2004 -- Unicode's


def listing(folder: Path) -> dict[str, str]:
    """Path inside the folder -> SHA-256 (hex) of every file in it. Raises RecordError for what is no file of a record; OSError."""
    return {item.name: stored_file.sha256(item.path) for item in plain_files(folder)}


def plain_files(folder: Path) -> Iterator[Below]:
    """Every file in a folder, where there is one. Raises RecordError for what is no file of a record; OSError."""
    for item in stored_file.below(folder) if folder.is_dir() else ():
        if item.problem is not None:
            raise RecordError(
                f"{item.path} {item.problem}; a record holds plain files only: remove it, or store what it points to"
            )
        yield item


def _check_file(name: str, size: int) -> None:
    """What `stored_file` would not read again must not get in."""
    parts = name.split("/")
    if (
        any(part in {"", ".", ".."} for part in parts)
        or any(char < " " or char in "\x7f\\" for char in name)
        or name != encodable_name(name)
    ):
        raise RecordError(
            f"{name!r} is no name for a file of a run: relative, UTF-8, no `..`, no control character or backslash"
        )
    if len(parts) > stored_file.DEEPEST:
        raise RecordError(f"{name!r} lies more than {stored_file.DEEPEST - 1} folders deep in a run's folder")
    if size > stored_file.LARGEST["runs"]:
        raise RecordError(f"{name} has {size} bytes; a file of a run has {stored_file.LARGEST['runs']} at most")
