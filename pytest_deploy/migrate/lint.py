"""What squawk finds in the way up, on the file's own lines; what is accepted needs the author's reason in the file.

Errors block. Warnings are advice and stand in the plan; `-- deploy:accept RULE REASON` takes either away. A settings file of
squawk's is not read: what is left out there would be accepted without a reason.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Fault, PlatformUnavailable
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.tools import pip_command, squawk
from pytest_deploy.workspace import typed_path

_OURS: Final = ("require-lock-timeout", "require-statement-timeout")
"""Every session of the runner sets these itself (REQ-o00044-K)."""


@dataclass(frozen=True)
class Finding:
    """One thing squawk says about one line."""

    path: Path
    line: int
    """1-based, of the file."""
    rule: str
    blocks: bool
    message: str
    remedy: str
    accepted: str | None
    """The author's reason, where it is accepted."""

    def fault(self) -> Fault:
        remedy = self.remedy or f"mend it, or write `-- deploy:accept {self.rule} REASON`"
        return Fault(typed_path(self.path), self.line, self.rule, self.message, remedy)


def lint(
    migrations: Sequence[Migration], *, server_version: int = 15, program: str | None = None
) -> tuple[Finding, ...]:
    """All findings on the ways up, in order. `server_version` is the major version of the target.

    `program` is squawk's path; None: beside this Python, else the system's.

    Raises PlatformUnavailable where squawk is missing or gives no answer: no answer is not a good one.
    """
    found = squawk(program)
    if found is None:
        raise PlatformUnavailable(f"squawk is not there; type `{pip_command('squawk-cli')}`")
    with tempfile.TemporaryDirectory(prefix="squawk-") as nowhere:
        return tuple(
            finding for migration in migrations for finding in _of_one(found, migration, server_version, nowhere)
        )


def _of_one(program: str, migration: Migration, server_version: int, folder: str) -> list[Finding]:
    section = migration.up
    inside = ["--assume-in-transaction"] if section.transactional else []
    completed = subprocess.run(
        [
            program,
            "--reporter=json",
            f"--pg-version={server_version}",
            *(f"--exclude={rule}" for rule in _OURS),
            *inside,
        ],
        input="\n" * (section.line - 1) + section.sql,
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    try:
        entries = json.loads(completed.stdout)
        reasons = dict(migration.accepted)
        return [
            Finding(
                path=section.path,
                line=int(entry["line"]) + 1,
                rule=str(entry["rule_name"]),
                blocks=entry["level"] == "Error" and entry["rule_name"] not in reasons,
                message=str(entry["message"]),
                remedy=str(entry["help"] or ""),
                accepted=reasons.get(entry["rule_name"]),
            )
            for entry in entries
        ]
    except (ValueError, KeyError, TypeError):
        raise PlatformUnavailable(
            f"squawk gave no answer on {typed_path(section.path)} (it ended with {completed.returncode}): {completed.stderr.strip()[:400]}"
        ) from None
