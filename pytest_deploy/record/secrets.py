"""The secrets of one environment: made once, known to every process of a run, and cut from whatever is written."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets as random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from pytest_deploy.record import atomic_file
from pytest_deploy.record.redaction import SHORTEST, Redactor, check_length
from pytest_deploy.workspace import Workspace

NOTE_PREFIX: Final = "met-"
"""How the notes of secrets met begin, in a run's session folder: private (0600), gone with it."""
_NAMED_SECRET = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|API_?KEY|ACCESS_KEY", re.IGNORECASE
)
_IN_AN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://(?P<user>[^\s/:@]*):(?P<password>[^\s/@]+)@", re.IGNORECASE)
"""`postgres://user:password@host`, whatever the variable is called."""
_SHORTEST_VARIABLE = 8
"""Characters of a variable that is taken for a secret, at least."""


class Secrets(Mapping[str, str]):
    """Named secrets of the environment. Never in a file of the record, a log, a traceback or argv.

    The embedded platform has no secret store: a random value is made once for each name and kept in a file of mode 0600.
    """

    def __init__(self, file: Path, notes: Path | None = None) -> None:
        """`notes` is a private folder in which the processes of a run tell one another the secrets they meet."""
        self._file = file
        self._values = self._load()
        self._met: dict[str, str] = {}
        """Name by value."""
        self._folder = notes
        self._read_to: dict[str, int] = {}
        """Where each note was read to, as its file tells it."""
        self._redactor: Redactor | None = None

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
        return self._made()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made())

    def __len__(self) -> int:
        return len(self._made())

    def __repr__(self) -> str:
        return "Secrets(SMOKE_USER, SMOKE_PASSWORD)"

    def _made(self) -> dict[str, str]:
        """The values, made if they are missing: when one is first asked for, so that a run that only lists writes nothing."""
        if not self._values:
            made = {"SMOKE_USER": f"smoke-{random.token_hex(4)}", "SMOKE_PASSWORD": random.token_urlsafe(24)}
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):  # the first of two processes wins; the other reads what that one made
                atomic_file.create(self._file, json.dumps(made).encode(), mode=0o600)
            self._values, self._redactor = self._load(), None
        return self._values

    def _load(self) -> dict[str, str]:
        return dict(json.loads(self._file.read_text(encoding="utf-8"))) if self._file.exists() else {}

    @property
    def redactor(self) -> Redactor:
        """What cuts every known value; user names are no secrets."""
        if not self._values and (made := self._load()):  # by another process of the run
            self._values, self._redactor = made, None
        if self._redactor is None:
            known = [(name, value) for name, value in self._values.items() if not name.endswith("_USER")]
            self._redactor = Redactor([*known, *((name, value) for value, name in self._met.items())])
        return self._redactor

    def redact(self, text: str) -> str:
        """The text without any known value."""
        return self.redactor.text(text)


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


def secrets_of(workspace: Workspace, *, run: str = "") -> Secrets:
    """The environment's secrets, and what this process's variables hold."""
    known = Secrets(workspace.secrets_file, notes=workspace.session(run) if run else None)
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
