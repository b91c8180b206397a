"""The files of a first deployment, and writing them: one that is there already is never touched."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pytest_deploy.policy.load import environments, load
from pytest_deploy.starter.policy_text import policy_text
from pytest_deploy.starter.repository import Repository
from pytest_deploy.workspace import CONFIG_FILE, OWN_FOLDERS

IGNORED: Final = (*sorted(f"{name}/" for name in OWN_FOLDERS), "__pycache__/")
"""What git is not to take in: private state, the record, compiled modules."""
CALENDAR: Final = "calendar.yaml"


def policy_of_repository(repository: Repository) -> str:
    """The text of deploy.yaml. Raises ConfigurationError where what the repository tells makes none that loads."""
    said = policy_text(repository)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / CONFIG_FILE
        path.write_text(said, encoding="utf-8")
        for name in environments(path):
            load(path, name)
    return said


def calendar_text(year: int | None = None) -> str:
    """The calendar that production's rule `blackout` reads: this year and the next, without a period yet."""
    first = year or datetime.now(UTC).year
    return f"""\
# When nothing is deployed to production, besides public holidays and whatever the window closes anyway. A year that `covers`
# does not name blocks: plan it first. Count `version` up at each change; every verdict names it.
version: 1
zone: America/New_York
covers: [{first}, {first + 1}]
periods: []
#  - name: Audit week
#    from: {first + 1}-03-01 00:00
#    to: {first + 1}-03-06 00:00
"""


def example_step(repository: Repository) -> str:
    """A smoke step of the project's own."""
    name, health = repository.name.value, repository.health.value
    return f'''\
"""What people who use {name} would miss first, asked of the new release before it gets any traffic."""

from __future__ import annotations

from pytest_deploy import Service, StepRecord


def test_{name.replace("-", "_")}_answers(service: Service, record: StepRecord) -> None:
    """An example: put what your users need in its place, such as `service.call("GET", "/price?grams=250")`."""
    answer = service.call("GET", {health!r})

    record.expect("an answer that is no error", answer.status)
    assert answer.status < 400
'''


def write_new(path: Path, said: str) -> bool:
    """Write a file with the folders that it lies in, unless something of its name is there. Whether it was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(said)
    except FileExistsError:
        return False
    return True


def not_ignored(root: Path) -> tuple[str, ...]:
    """The lines of IGNORED that the .gitignore of a folder lacks."""
    path = root / ".gitignore"
    lines = (
        {line.strip().strip("/") for line in path.read_text(encoding="utf-8").splitlines()} if path.is_file() else set()
    )
    return tuple(line for line in IGNORED if line.strip("/") not in lines)


def ignore(root: Path, lines: Sequence[str]) -> None:
    """Put lines at the end of a folder's .gitignore; what stands there stays."""
    path = root / ".gitignore"
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    gap = "" if not before or before.endswith("\n") else "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(gap + "".join(f"{line}\n" for line in lines))
