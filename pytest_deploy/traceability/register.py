"""The register of requirements: the file that `requirements:` of deploy.yaml names, read as one text an id.

A Markdown or text file has a requirement in each line that begins with its id:

    - PARCEL-12: A parcel has exactly one sender.
    ## PARCEL-13 A parcel that was delivered does not move

A file that ends in .csv has columns `id` and `text`. A specification in lettered assertions

    # REQ-o00043: Automated Deployment Pipeline
    ## Assertions
    A. The system SHALL automatically trigger …

makes `REQ-o00043-A` and its text. A run's matrix has one row a requirement of it, exercised or not.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from pytest_deploy.errors import CollectionRefused, ConfigurationError, Fault, UsageError
from pytest_deploy.policy.load import ENVIRONMENTS, read_document
from pytest_deploy.policy.yaml_source import Node
from pytest_deploy.traceability.requirement_id import FORM, is_id, is_standard

Register = Mapping[str, str]
"""The text of each requirement by its id, in the file's order."""
KEY: Final = "requirements"
"""The setting of deploy.yaml."""
_REQUIREMENT: Final = re.compile(r"# (?P<id>[A-Za-z][A-Za-z0-9_-]*): .+")
_ASSERTION: Final = re.compile(r"(?P<letter>[A-Z]{1,2})\. (?P<text>\S.*)")
_LINE: Final = re.compile(
    r"(?:(?P<mark>#{1,6}|[-*+]|\d+[.)])\s+)?[*`\[]*(?P<id>[A-Za-z][A-Za-z0-9._-]*)[*`\]]*(?P<colon>:)?[*`]*(?:\s+(?P<text>.*))?"
)
_DASHES: Final = " -\u2013\u2014"
_FENCE: Final = ("```", "~~~")
_CLOSE_ONES: Final = 5


def parse(text: str, *, table: bool = False) -> Register:
    """The register that a text holds; `table`: it is CSV. Raises ValueError with what is wrong, and in which line."""
    return _of_table(text) if table else _of_assertions(text) or _of_lines(text)


def _of_assertions(text: str) -> dict[str, str]:
    """The lettered lines under `## Assertions` of each requirement."""
    register: dict[str, str] = {}
    requirement, within = "", False
    for line in text.splitlines():
        if heading := _REQUIREMENT.fullmatch(line.strip()):
            requirement, within = heading["id"], False
        elif line.startswith("#"):
            within = bool(requirement) and line.strip() == "## Assertions"
        elif line.startswith(("*End*", "---")):
            requirement, within = "", False
        elif within and (assertion := _ASSERTION.fullmatch(line.strip())):
            register[f"{requirement}-{assertion['letter']}"] = assertion["text"].strip()
    return register


def _of_lines(text: str) -> dict[str, str]:
    """Each line that begins with an id: a letter first and a digit in it, a colon behind it but in a heading."""
    register: dict[str, str] = {}
    places: dict[str, int] = {}
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        fenced ^= line.strip().startswith(_FENCE)
        found = _LINE.fullmatch(line.strip())
        if fenced or found is None or not (found["colon"] or (found["mark"] or "").startswith("#")):
            continue
        if any(letter.isdigit() for letter in found["id"]):
            _add(register, places, found["id"], (found["text"] or "").lstrip(_DASHES).strip(), number)
    return register


def _of_table(text: str) -> dict[str, str]:
    """Each row of a CSV file whose first line names the columns `id` and `text`."""
    register: dict[str, str] = {}
    places: dict[str, int] = {}
    header = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if ";" in header and "," not in header else ",")
    try:
        if missing := {"id", "text"} - set(rows.fieldnames or ()):
            raise ValueError(f"line 1 names no column {' and no column '.join(sorted(missing))}")
        for row in rows:
            if any(row.values()):
                _add(register, places, (row["id"] or "").strip(), " ".join((row["text"] or "").split()), rows.line_num)
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num} is no CSV: {error}") from None
    return register


def _add(register: dict[str, str], places: dict[str, int], name: str, text: str, number: int) -> None:
    if not is_id(name):
        raise ValueError(f"line {number}: {name[:100]!r} is no id: right is {FORM}")
    if name in register:
        raise ValueError(f"line {number} has {name} again, after line {places[name]}")
    register[name], places[name] = text, number


def _of_bytes(content: bytes, path: Path) -> Register:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not UTF-8") from None
    return parse(text, table=path.suffix.lower() == ".csv")


def read(path: Path, sha256: str | None = None) -> Register:
    """The register in a file; empty where there is none, or another than the one of this SHA-256."""
    try:
        content = path.read_bytes()
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            return {}
        return _of_bytes(content, path)
    except (OSError, ValueError):
        return {}


def of_policy(root: Path, named: str | None) -> Register:
    """The register that policy names, empty where it names none. Raises ConfigurationError where the file holds no register."""
    if named is None:
        return {}
    try:
        if register := _of_bytes((root / named).read_bytes(), root / named):
            return register
        problem = "it names no requirement"
    except OSError as error:
        problem = f"it cannot be read: {error.strerror}"
    except ValueError as error:
        problem = str(error)
    remedy = (
        "right is a text file with lines like `- PARCEL-12: what is asked for`, or a .csv with columns id and text; "
        f"a project without a register says `{KEY}: null`"
    )
    raise ConfigurationError("deploy.yaml", [Fault("deploy.yaml", None, KEY, f"{named}: {problem}", remedy)])


def of_checkout(root: Path, sha256: str | None = None) -> Register:
    """What deploy.yaml names, for any of its environments, or the one of this SHA-256; empty where it cannot be read."""
    try:
        document, _ = read_document(root / "deploy.yaml", "")
    except ConfigurationError:
        return {}
    environments = document.nearest((ENVIRONMENTS,)).value
    written = [document, *(environments.values() if isinstance(environments, Mapping) else ())]
    found: dict[str, str] = {}
    for node in written:
        named = node.value.get(KEY) if isinstance(node.value, Mapping) else None
        if isinstance(named, Node) and isinstance(named.value, str):
            found = {**read(root / named.value, sha256), **found}
    return found


def accept(root: Path, named: str | None, claims: Mapping[str, Iterable[str]]) -> None:
    """Hold what the marks of steps name, by node id, against the register that policy names.

    The standard steps name assertions of this program's own specification, which no other project's register holds.
    Raises ConfigurationError where the file holds no register, CollectionRefused where it lacks what a step names.
    """
    register = of_policy(root, named)
    if named is None:
        return
    faults = []
    for nodeid, names in claims.items():
        for name in names:
            if name not in register and not is_standard(name):
                close = get_close_matches(name, register, n=1)
                hint = f"did you mean {close[0]}? " if close else ""
                remedy = f"{hint}name one that is there, or have it added to {named}"
                faults.append(Fault(nodeid, None, name, f"{named} holds no such requirement", remedy))
    if faults:
        raise CollectionRefused("steps name requirements that nobody asked for; nothing was opened", faults)


def covers(asked: str, name: str) -> bool:
    """Whether an id that is asked for is this one, or what it is a part of: PARCEL-12 covers PARCEL-12.1 and PARCEL-12-A."""
    return name == asked or name.startswith((f"{asked}-", f"{asked}."))


def require_known(asked: str, known: Iterable[str]) -> None:
    """Refuse an id that neither the register nor any record knows. Raises UsageError naming close ones."""
    names = sorted(set(known))
    if any(covers(asked, name) for name in names):
        return
    requirements = {name.rpartition("-")[0] for name in names if name.rpartition("-")[0].count("-")}
    close = get_close_matches(asked.upper(), [*names, *sorted(requirements)], n=_CLOSE_ONES)
    close = close or get_close_matches(asked, [*names, *sorted(requirements)], n=_CLOSE_ONES)
    hint = f"; close to it: {', '.join(close)}" if close else ""
    raise UsageError(f"--requirement={asked}: neither the register of deploy.yaml nor any record knows it{hint}")
