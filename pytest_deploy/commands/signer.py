"""Who signs a command, and with which key."""

from __future__ import annotations

from pathlib import Path

from pytest_deploy.approvals.rehearsal_roster import throw_away_key
from pytest_deploy.approvals.roster import Person, Roster, fingerprint_of
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.release import source
from pytest_deploy.workspace import Workspace


def signer(workspace: Workspace, roster: Roster, role: str, key: Path | None) -> tuple[Person, Path]:
    """Who signs, and with what: the key given, a rehearsal's throw-away key of the role, else git's signing key.

    Raises UsageError where there is no key, Refused where it is nobody's.
    """
    if key is None and workspace.rehearsal and role:
        key = throw_away_key(workspace, role)
    if key is not None and not key.is_file():
        raise UsageError(
            f"--key {key}: there is no such file; right is a private key, or the public key of one in the agent"
        )
    key = key or _gits_key()
    if key is None:
        raise UsageError(
            "say which key signs: --key FILE (a private key, or the public key of one in the agent or on a token)"
        )
    fingerprint = fingerprint_of(key)
    for known in roster.keys:
        if known.fingerprint == fingerprint:
            return roster.people[known.email], key
    raise Refused(
        f"{key}: the roster knows nobody with the key {fingerprint}; python deploy.py keys enroll makes it known"
    )


def _gits_key() -> Path | None:
    named = source.setting("user.signingkey")
    key = Path(named).expanduser()
    return key if named and key.is_file() else None
