"""PostgreSQL's own programs, run so that no password stands in argv and no session waits for ever."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.session import environment


def run(
    program: str,
    arguments: Sequence[str],
    conninfo: str,
    *,
    programs: Path | None,
    lock_timeout_s: float = 5.0,
) -> bytes:
    """What the program printed. `programs` is its folder; None: from PATH.

    Raises PlatformUnavailable where it is missing, or ends with an error: with the last lines of what it said.
    """
    path = program if programs is None else str(programs / program)
    try:
        done = subprocess.run(
            [path, *arguments],
            env=environment(conninfo, lock_timeout_s),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            start_new_session=True,  # Ctrl-C goes to the whole group; in a rollback it is noted, and must not end pg_dump
        )
    except FileNotFoundError:
        raise PlatformUnavailable(
            f"{path} is not there; install the PostgreSQL client programs of the server's version or newer"
        ) from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        shown = "; ".join(line for line in said[:4] if not line.startswith(("DETAIL", "CONTEXT")))
        raise PlatformUnavailable(f"{program} ended with {done.returncode}: {shown}")
    return done.stdout
