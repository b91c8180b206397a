"""A folder of migrations is read whole or refused whole, with every fault at its file and line.

Two layouts: dbmate's (`0001_name.sql` with `-- migrate:up` and `-- migrate:down`; the dbmate CLI runs the same folder
unchanged), and pairs (`001_name.sql` with `rollback/001_rollback.sql`), told by the folder `rollback`.
REQ-o00044-A (one sequence), -E and -S (each has its way back). A version is a number of a sequence without gap (`0001`), or a
timestamp, as dbmate names new files (`20240102030405`); both may lie in one folder. The order is that of the numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, get_args

from pytest_deploy.errors import Fault, MigrationsRefused
from pytest_deploy.migrate.adopted import adopted_files
from pytest_deploy.migrate.migration import Compatible, Migration, Section
from pytest_deploy.migrate.names import (
    EXAMPLE,
    RENUMBER,
    NamedFile,
    is_timestamp,
    named_files,
    number_of_rollback,
    rollback_file,
    rollback_folder,
)
from pytest_deploy.migrate.statements import Statement, holders, statements
from pytest_deploy.workspace import typed_path

_MARKER: Final = re.compile(r"^[^\S\n]*--[^\S\n]*migrate:(?P<way>up|down)(?P<options>[^\S\n].*)?$\n?", re.MULTILINE)
_DECLARATION: Final = re.compile(r"^[^\S\n]*--[^\S\n]*deploy:(?P<word>\S*)[^\S\n]*(?P<rest>.*?)[^\S\n]*$", re.MULTILINE)
_LARGEST_BYTES: Final = 256 * 1024 * 1024
"""Of one file: PostgreSQL takes a statement of 1 GB at the most, and reading a file takes several times its size of memory."""
_COMPATIBLE: Final = " | ".join(get_args(Compatible))


class _Faults(list[Fault]):
    """The faults found so far, and one word for adding to them."""

    def add(self, path: Path, line: int | None, problem: str, remedy: str) -> None:
        self.append(Fault(typed_path(path), line, "", problem, remedy))


def read_migrations(folder: Path | None, adopted: Mapping[str, str] | None = None) -> tuple[Migration, ...]:
    """The migrations of `folder`, in order; none where the project has no folder of them.

    `adopted`: SHA-256 (hex) by file of those that need no declaration and no way down; None: those of the folder's adopted.json.

    Raises MigrationsRefused, listing every fault of every file: a gap, a version twice, a bad name, a way down that is
    missing or empty, a transaction statement, text that is not UTF-8, a missing or unknown declaration.
    """
    if folder is None:
        return ()
    faults = _Faults()
    migrations: list[Migration] = []
    if folder.is_dir():
        pairs = rollback_folder(folder)
        exempt = adopted_files(folder) if adopted is None else adopted
        _check_adopted(folder, exempt, faults)
        read = [_read_one(file, pairs, exempt, faults) for file in _files(folder, exempt, faults)]
        migrations = [migration for migration in read if migration is not None]
        if pairs is not None:
            _check_orphans(pairs, {migration.number for migration in migrations}, faults)
    else:
        faults.add(folder, None, "there is no such folder", "name the folder that holds the migrations")
    if faults:
        faults.sort(key=lambda fault: (fault.file, fault.line or 0))
        raise MigrationsRefused(f"migrations in {typed_path(folder)}", faults)
    return tuple(migrations)


def _check_adopted(folder: Path, exempt: Mapping[str, str], faults: _Faults) -> None:
    for name, digest in exempt.items():
        path = folder / name
        if not path.is_file():
            faults.add(path, None, "it was adopted, and is gone", "restore it from the commit that adopted it")
        elif (found := hashlib.sha256(path.read_bytes()).hexdigest()) != digest:
            problem = f"it was adopted, and edited since (then {digest[:12]}, now {found[:12]})"
            faults.add(path, None, problem, "restore it; write the change as a new migration")


def _files(folder: Path, exempt: Mapping[str, str], faults: _Faults) -> list[NamedFile]:
    """The files that are migrations by name, by number; notes every name, gap and double that is wrong."""
    files = named_files(folder)
    named = {file.path for file in files}
    for path in sorted(folder.iterdir()):
        if path not in named and (path.name[:1].isdigit() or ".sql" in path.name.lower()):
            faults.add(path, None, "the name is not that of a migration", f"name it like {EXAMPLE}")
    numbers = {file.number for file in files}
    read: list[NamedFile] = []
    before = ""
    for file in files:
        if read and read[-1].number == file.number:
            problem = f"version {file.version} is there twice ({read[-1].path.name})"
            faults.add(file.path, None, problem, f"give each a number of its own: `{RENUMBER}`")
            continue
        read.append(file)
        in_sequence = is_timestamp(file.version) or file.number == 1 or file.number - 1 in numbers
        if file.number and not in_sequence and file.path.name not in exempt:
            missing = str(file.number - 1).zfill(len(file.version))
            remedy = "number without a gap from 1 on, or name it by a timestamp like 20240102030405"
            faults.add(file.path, None, f"version {missing} before it is missing", remedy)
        if file.number == 0:
            faults.add(file.path, None, "version 0 is the empty database", "number from 1 on")
        if file.version < before:
            problem = f"by name it stands before version {before}, by number after it"
            faults.add(file.path, None, problem, "pad all to one width: dbmate sorts by name")
        before = max(before, file.version)
    return read


def _check_orphans(pairs: Path, numbers: set[int], faults: _Faults) -> None:
    for path in sorted(pairs.iterdir()):
        number = number_of_rollback(path)
        if number is None:
            faults.add(path, None, "the name is not that of a rollback", "name it like 001_rollback.sql")
        elif number not in numbers:
            faults.add(path, None, "there is no such migration", "remove it, or restore the migration it undoes")


def _text(path: Path, faults: _Faults) -> str | None:
    size = path.stat().st_size
    if size > _LARGEST_BYTES:
        limit = _LARGEST_BYTES // 1024**2
        remedy = "split it, or load the rows by a step of your own"
        faults.add(path, None, f"it has {size / 1024**2:.0f} MiB, more than {limit}", remedy)
        return None
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        faults.add(path, line, f"byte {error.start} is not UTF-8", "save the file as UTF-8")
        return None
    if text.startswith("\ufeff"):
        faults.add(path, 1, "the file begins with a byte order mark", "save it as UTF-8 without one")
        return None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        faults.add(path, line, "there is a NUL character", "remove it: PostgreSQL has none in text")
        return None
    return text


def _read_one(file: NamedFile, pairs: Path | None, exempt: Mapping[str, str], faults: _Faults) -> Migration | None:
    path = file.path
    adopted = path.name in exempt
    text = _text(path, faults)
    if text is None:
        return None
    declared = _ADOPTED if adopted else _declared(path, text, faults)
    outside = "deviation" in declared
    down_path = None if pairs is None else rollback_file(pairs, file.version)
    if down_path is None:
        sections = _marked(path, text, faults, optional=adopted)
    else:
        sections = _paired(path, text, down_path, faults, optional=adopted)
    if sections is None:
        return None
    up, down = sections
    if down_path is not None:
        up = replace(up, transactional=not outside)
    for way, section in (("up", up), ("down", down)):
        if not adopted or statements(section.sql):  # what was adopted may be empty
            _check_section(section, way, faults, paired=pairs is not None)
    if not adopted and up.transactional == outside:
        problem = "a section outside a transaction and its declaration go together"
        remedy = "write both `-- migrate:up transaction:false` and `-- deploy:outside-transaction REASON`, or neither"
        faults.add(path, up.line, problem, remedy)
    return Migration(file.version, file.name, path, up, down, file.sha256, adopted=adopted, **declared)


_ADOPTED: Final[dict[str, Any]] = {
    "compatible": "expand",
    "lossy": "it was adopted: nothing was declared of it",
}


def _marked(path: Path, text: str, faults: _Faults, *, optional: bool) -> tuple[Section, Section] | None:
    """The layout of dbmate: what stands after each marker line. `optional`: whether the way down may be missing."""
    marks = list(_MARKER.finditer(text))
    begins = {match.start() + match.group().index("--"): match for match in marks}
    held = holders(text, begins)
    for place, (what, line) in held.items():
        match = begins[place]
        problem = f"`-- migrate:{match['way']}` stands inside {what} that begins on line {line}, and dbmate takes it for a marker"
        faults.add(path, _line(text, match.start()), problem, "word it otherwise there")
    if held:
        return None
    ways = [match["way"] for match in marks]
    if optional and ways == ["up"]:
        text = text if text.endswith("\n") else f"{text}\n"
        return _marked(path, f"{text}-- migrate:down\n", faults, optional=False)
    if ways != ["up", "down"]:
        missing = " and ".join(f"`-- migrate:{way}`" for way in ("up", "down") if way not in ways)
        problem = f"the line {missing} is missing" if missing else "it has more than one way up and one way down"
        at = _line(text, marks[-1].start()) if marks else 1
        faults.add(path, at, problem, "write one `-- migrate:up` and below it one `-- migrate:down`")
        return None
    up, down = marks
    before = statements(text[: up.start()])
    if before:
        faults.add(path, before[0].line, "there is SQL above `-- migrate:up`", "move it below that line")
    transactional = []
    for match in marks:
        option = (match["options"] or "").strip()
        if option not in {"", "transaction:false", "transaction:true"}:
            faults.add(path, _line(text, match.start()), f"unknown option {option}", "only transaction:false is known")
        transactional.append(option != "transaction:false")
    return (
        Section(text[up.end() : down.start()], path, _line(text, up.end()), transactional[0]),
        Section(text[down.end() :], path, _line(text, down.end()), transactional[1]),
    )


def _line(text: str, at: int) -> int:
    """The line, from 1, of the character at index `at`."""
    return text.count("\n", 0, at) + 1


def _paired(
    path: Path, text: str, down_path: Path, faults: _Faults, *, optional: bool
) -> tuple[Section, Section] | None:
    """The two-file layout: the whole of each file. `optional`: whether the way down may be missing."""
    if mark := _MARKER.search(text):
        faults.add(
            path,
            _line(text, mark.start()),
            "a dbmate marker in the two-file layout",
            "remove it: the ways are two files here",
        )
    if optional and not down_path.is_file():
        return Section(text, path, 1), Section("", down_path, 1)
    if not down_path.is_file():
        faults.add(
            path, None, f"its way down is missing ({typed_path(down_path)})", "write it: each migration can be undone"
        )
        return None
    down = _text(down_path, faults)
    if down is None:
        return None
    alone = False
    for match in _DECLARATION.finditer(down):
        alone = match["word"] == "outside-transaction" and bool(match["rest"])
        if not alone:
            remedy = "write `-- deploy:outside-transaction REASON` here, and what else is declared in the migration"
            faults.add(
                down_path, _line(down, match.start()), f"a rollback file cannot say `-- deploy:{match['word']}`", remedy
            )
    return Section(text, path, 1), Section(down, down_path, 1, transactional=not alone)


def _declared(path: Path, text: str, faults: _Faults) -> dict[str, Any]:
    """What the author declares, by the name of the migration's field."""
    declared: dict[str, Any] = {"accepted": ()}
    for match in _DECLARATION.finditer(text):
        word, rest = match["word"], match["rest"]
        rule, _, reason = rest.partition(" ")
        if word == "compatible" and rest in get_args(Compatible):
            declared["compatible"] = rest
        elif word == "lossy" and rest:
            declared["lossy"] = rest
        elif word == "outside-transaction" and rest:
            declared["deviation"] = rest
        elif word == "accept" and reason.strip():
            declared["accepted"] += ((rule.rstrip(":"), reason.strip()),)
        else:
            remedy = f"compatible {_COMPATIBLE}; lossy REASON; accept RULE REASON; outside-transaction REASON"
            faults.add(
                path,
                _line(text, match.start()),
                f"`-- deploy:{word} {rest}` says nothing known",
                f"write one of: {remedy}",
            )
    if "compatible" not in declared:
        remedy = f"write `-- deploy:compatible {_COMPATIBLE}`"
        faults.add(path, 1, "it does not say whether the running revision survives it", remedy)
    return {"compatible": "breaking", **declared}


def _check_section(section: Section, way: str, faults: _Faults, *, paired: bool) -> None:
    written = statements(section.sql)
    if not written:
        faults.add(section.path, section.line, f"the way {way} is empty", "write the statements that make it")
    if not section.transactional and len(written) > 1:
        problem = f"{len(written)} statements outside a transaction can half-happen"
        faults.add(section.path, section.line + written[1].line - 1, problem, "leave one statement in it")
    for statement in written:
        for problem, remedy in islice(_objections(statement, section, way, paired=paired), 1):
            faults.add(section.path, section.line + statement.line - 1, problem, remedy)


def _objections(statement: Statement, section: Section, way: str, *, paired: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with one statement, and what would be right."""
    shown = " ".join(statement.words[:3])
    if statement.controls_transaction():
        yield f"{shown} ends or opens a transaction", "remove it: all migrations of a release are one transaction"
    if section.transactional and statement.needs_no_transaction():
        remedy = f"put it alone in a migration with transaction:false (`-- migrate:{way} transaction:false`)"
        if paired:
            remedy = f"put it alone in {'a' if way == 'up' else 'this'} file that says `-- deploy:outside-transaction REASON`"
        yield f"{shown} cannot run in a transaction", remedy
    if statement.reads_client_input():
        yield f"{shown} reads rows from the client", "write them as INSERT"
    if statement.is_client_command():
        yield "a psql command is not SQL", "write it in SQL"
    if statement.touches_ledger():
        yield f"{shown} touches the schema deploy", "remove it: the history of migrations is the runner's alone"
    if setting := statement.disarms():
        yield f"{shown} takes {setting} out of the runner's hands", "remove it"
