"""Who wrote what is released: authors, committers and co-authors of the commits since the environment's last release."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from pytest_deploy.approvals.roster import Roster
from pytest_deploy.errors import Refused

_GIT_S = 60
_TRAILER = re.compile(r"^\s*co-authored-by\s*:(.*)", re.IGNORECASE | re.MULTILINE)
_EMAIL = re.compile(r"[^\s<>]+@[^\s<>]+")
_AS_HASHED = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}
"""Commits as they were hashed: neither `git replace` nor a graft shows another author, or another parent."""
_NOBODY = "(nobody)"
"""Stands for an author, committer or co-author whom a commit does not name: nobody of a roster, and so it blocks."""


def authors(root: Path, commit: str, since: str | None) -> tuple[str, ...]:
    """E-mails (lower case, sorted) of everybody who had a hand in `since..commit`; in all history where `since` is None.

    Where history was rewritten, in every commit that `since` does not hold. An empty e-mail is told as `(nobody)`. Raises
    Refused where that cannot be told: a shallow clone, or a commit that this clone does not have.
    """
    if _git(root, "rev-parse", "--is-shallow-repository").strip() != "false":
        raise Refused(
            "this clone is shallow, so who wrote what is released cannot be told: fetch it whole (fetch-depth: 0)"
        )
    for one in (commit, *([since] if since else [])):
        try:
            _git(root, "cat-file", "-e", f"{one}^{{commit}}")
        except Refused:
            raise Refused(
                f"commit {one} is not in this clone: fetch it whole (fetch-depth: 0), and keep released commits"
            ) from None
    form = ["-z", "--encoding=UTF-8", "--no-show-signature", "--format=%ae%x00%ce%x00%B"]
    words = ["log", *form, commit, *(["--not", since] if since else [])]
    said = iter(_git(root, *words).split("\0"))
    found = {
        email for entry in zip(said, said, said, strict=False) for email in (*entry[:2], *_co_authors(entry[2]))
    }  # fmt: skip
    return tuple(sorted({email.strip().lower() or _NOBODY for email in found}))


def _co_authors(message: str) -> Iterator[str]:
    """The e-mail of each co-author; of a trailer without one what it says, which is nobody's in a roster and so blocks."""
    for said in _TRAILER.findall(message):
        yield from _EMAIL.findall(said) or [said.strip()]


def unmapped(emails: Iterable[str], roster: Roster, outside: Collection[str]) -> tuple[str, ...]:
    """The e-mails that are nobody's in the roster and not listed as outside."""
    known = {email.lower() for email in outside}
    return tuple(email for email in emails if email.lower() not in known and roster.of_git(email) is None)


def _git(root: Path, *words: str) -> str:
    try:
        ran = subprocess.run(
            ["git", "-C", str(root), *words],
            env={**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, **_AS_HASHED},
            capture_output=True,
            timeout=_GIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Refused(f"git {words[0]} did not answer: {error}") from None
    if ran.returncode:
        raise Refused(f"git {words[0]}: {ran.stderr.decode(errors='replace').strip()}")
    return ran.stdout.decode(errors="replace")
