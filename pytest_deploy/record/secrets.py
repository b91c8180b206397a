"""The secrets of one environment: made once, known to every process of a run, and cut from whatever is written."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets as random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.record import atomic_file
from pytest_deploy.record.redaction import SHORTEST, Redactor, check_length
from pytest_deploy.workspace import Workspace

SMOKE: Final = ("SMOKE_USER", "SMOKE_PASSWORD")
"""The secrets of an environment whose policy lists no others."""
_A_USER: Final = "_USER"
NOTE_PREFIX: Final = "met-"
"""How the notes of secrets met begin, in a run's session folder: private (0600), gone with it."""
_NAMED_SECRET = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|API_?KEY|ACCESS_KEY", re.IGNORECASE
)
_IN_AN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://(?P<user>[^\s/:@]*):(?P<password>[^\s/@]+)@", re.IGNORECASE)
"""`postgres://user:password@host`, whatever the variable is called."""
_SHORTEST_VARIABLE = 8
"""Characters of a variable that is taken for a secret, at least."""


class SecretSource(Protocol):
    """A store of secrets; its text is its name in messages."""

    def fetch(self, names: Sequence[str]) -> Mapping[str, str]:
        """The value of each name, none of them empty. Raises Refused."""


class Secrets(Mapping[str, str]):
    """Named secrets of the environment. Never in a file of the record, a log, a traceback or argv.

    Where policy names no store (`secrets_from`), a random value is made once for each name and kept in a file of mode 0600.
    A name that ends in `_USER` is a user's name, which is made too and not cut: it is no secret.
    """

    def __init__(
        self,
        file: Path,
        names: Sequence[str] = SMOKE,
        notes: Path | None = None,
        source: SecretSource | None = None,
    ) -> None:
        """`names` are those that policy lists; `notes` is a private folder in which the processes of a run tell one another the secrets they meet.

        `source`: where their values are fetched, once a process, and kept in memory alone; without one they are made up.
        """
        self._source = source
        self._file = file
        self._names = tuple(names)
        self._values: dict[str, str] = {}
        """All that the file holds: what policy no longer lists is cut as well."""
        self._read_as: tuple[int, int] | None = None
        """Which file they were read from; None: there was none."""
        self._met: dict[str, str] = {}
        """Name by value."""
        self._folder = notes
        self._read_to: dict[str, int] = {}
        """Where each note was read to, as its file tells it."""
        self._redactor: Redactor | None = None
        self._load()

    def learn(self, name: str, value: str) -> str:
        """Take in a secret met on the way (a session's token), so that it is cut from every report too; returns it.

        Raises ValueError for a value of fewer than six characters: it could not be cut without tearing other text apart.
        """
        if self.know(name, value) and self._folder is not None and self._folder.is_dir():
            _note(self._folder / f"{NOTE_PREFIX}{os.getpid()}", json.dumps([name, value]).encode() + b"\n")
        return value

    def know(self, name: str, value: str) -> bool:
        """Cut a value from now on, and tell nobody; whether it was news. Raises ValueError as `learn`."""
        if value in self._met:
            return False
        check_length(name, value)
        self._met[value], self._redactor = name, None
        return True

    def take_in(self) -> None:
        """Know what the run's other processes have met."""
        for note in sorted(self._folder.glob(f"{NOTE_PREFIX}*")) if self._folder is not None else ():
            with note.open("rb") as lines:
                start = self._read_to.get(note.name, 0)
                start = start if start <= os.fstat(lines.fileno()).st_size else 0
                lines.seek(start)
                for line in lines:
                    if not line.endswith(b"\n"):  # it is being written; whoever writes it knows it
                        break
                    self.know(*json.loads(line))
                    start += len(line)
                self._read_to[note.name] = start

    def __getitem__(self, name: str) -> str:
        """The value of a listed name, made where it is missing. Raises UsageError for another."""
        if name not in self._names:
            listed = ", ".join(self._names) or "none"
            right = ", ".join((*self._names, str(name)))
            raise UsageError(
                f"secrets[{name!r}]: deploy.yaml lists no such secret for this environment ({listed}); add it there: `secrets: [{right}]`"
            )
        if name not in self._values:
            self.fetch()
        if name not in self._values:
            self._make()
        return self._values[name]

    def fetch(self) -> None:
        """Fetch what is missing, where there is a source. Raises Refused: which name, where, what would be right."""
        missing = [name for name in self._names if name not in self._values]
        if self._source is None or not missing:
            return
        found = self._source.fetch(missing)
        for name, value in found.items():
            if name.endswith(_A_USER):
                continue
            try:
                self.learn(name, value)
            except ValueError as error:
                raise Refused(f"{self._source}: {error}; give it a longer value there") from None
        self._values |= found

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._names)})"

    def _make(self) -> None:
        """Make what is missing, when one is first asked for, so that a run that only lists writes nothing."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The first of two processes makes them; the other waits, and reads what that one made.
        with _locked(self._file.parent):
            self._load()
            made = {name: _random(name) for name in self._names if name not in self._values}
            if not made:
                return
            write = atomic_file.overwrite if self._file.exists() else atomic_file.create
            write(self._file, json.dumps(self._values | made).encode(), mode=0o600)
            self._load()

    def _load(self) -> None:
        """Read the file, where it is another than was read last."""
        if self._source is not None:  # what was made up once is not taken for what the source holds
            return
        try:
            at = self._file.stat()
        except FileNotFoundError:
            return
        if self._read_as != (at.st_ino, at.st_mtime_ns):
            self._values, self._redactor = dict(json.loads(self._file.read_text(encoding="utf-8"))), None
            self._read_as = (at.st_ino, at.st_mtime_ns)

    @property
    def redactor(self) -> Redactor:
        """What cuts every known value; user names are no secrets."""
        if not self._values.keys() >= set(self._names):  # another process of the run may have made them
            self._load()
        if self._redactor is None:
            known = [(name, value) for name, value in self._values.items() if not name.endswith(_A_USER)]
            self._redactor = Redactor([*known, *((name, value) for value, name in self._met.items())])
        return self._redactor

    def redact(self, text: str) -> str:
        """The text without any known value."""
        return self.redactor.text(text)


def _random(name: str) -> str:
    return f"smoke-{random.token_hex(4)}" if name.endswith(_A_USER) else random.token_urlsafe(24)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder, for as long as this process lives at the most."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _note(file: Path, line: bytes) -> None:
    """Append a line, whole or not at all. Raises OSError where it cannot be written."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
    finally:
        os.close(descriptor)


def secrets_of(
    workspace: Workspace, names: Sequence[str] = SMOKE, *, run: str = "", source: SecretSource | None = None
) -> Secrets:
    """The environment's secrets, by the names that policy lists, and what this process's variables hold."""
    known = Secrets(workspace.secrets_file, names, notes=workspace.session(run) if run else None, source=source)
    for name, value in _of_variables(os.environ):
        known.know(name, value)
    return known


def _of_variables(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """This process's variables that are named like secrets: whoever prints the environment prints them too."""
    for name, value in variables.items():
        # os.path: a token may be longer than a path can be, which Path.exists raises for.
        if _NAMED_SECRET.search(name) and len(value) >= _SHORTEST_VARIABLE and not os.path.exists(value):  # noqa: PTH110
            yield name, value
        for address in _IN_AN_ADDRESS.finditer(value):
            for password in {address["password"], unquote(address["password"])}:
                if len(password) >= SHORTEST and password != address["user"]:
                    yield name, password
