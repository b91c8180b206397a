"""A runner of migrations in a process of its own: one request a line on standard input, one answer a line.

A request is JSON: conninfo, folder, and for the way back `to`. The answer `go` comes right before the work, then the
versions that were moved, or the error.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_deploy.errors import DeployError
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.rollback import roll_back


@contextmanager
def runner() -> Iterator[subprocess.Popen[str]]:
    """Such a process, gone afterwards."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.unit.migrate.migration_process"],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[str], **request: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    return json.loads(process.stdout.readline())


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        migrations = read_migrations(Path(request["folder"]))
        print("go", flush=True)  # noqa: T201 - the test reads it
        try:
            if "to" in request:
                moved = [
                    back.version for back in roll_back(request["conninfo"], migrations, to=request["to"], actor="r")
                ]
            else:
                moved = [done.version for done in apply(request["conninfo"], migrations, actor="r", wait_s=60)]
            print(json.dumps(moved), flush=True)  # noqa: T201
        except DeployError as error:
            print(json.dumps(repr(error)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
