"""Pytest's command line a hundred times over: this process imports pytest and its plug-ins once, then forks a child a line.

    python tests/preloaded.py      reads stdin, a line of JSON each, and answers the child's exit code, a line each:
                                   {"words": […], "cwd": FOLDER, "env": {…}, "stdout": FILE, "stderr": FILE}

A child is `python -m pytest WORDS`, with that folder and environment: pytest's own entry, from its first line to the
process's end; only that the modules it imports are there already. What Python itself reads before (-O, PYTHONPATH) needs a
process of its own. This file imports nothing of the project: a child finds what `python -m pytest` finds.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import sys
from collections.abc import Mapping
from typing import Any

import pytest


def main() -> None:
    # Pytest does not rewrite a plug-in that is imported already, and says so, which is an error. One it imported it knows.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main(["-VV"])
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            _be_pytest(json.loads(line))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _be_pytest(asked: Mapping[str, Any]) -> None:
    """Ends with SystemExit, as `python -m pytest` does."""
    for descriptor, name in enumerate((os.devnull, asked["stdout"], asked["stderr"])):
        opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.path[0] = asked["cwd"]
    sys.argv = ["pytest", *asked["words"]]
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
