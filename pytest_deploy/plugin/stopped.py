"""How a session is ended before its steps are: by an exception that pytest prints as `Stopped: …`, with the exit code it ends with."""

from __future__ import annotations

import pytest

from pytest_deploy.program import as_called


class Stopped(pytest.exit.Exception):  # type: ignore[name-defined, misc]  # mypy takes pytest.exit for no place of a class
    """Ends pytest as `pytest.exit` does, under a name that people read."""

    __module__ = "builtins"  # as pytest's own outcomes have it: a name from there is printed without a module

    def __init__(self, msg: str, returncode: int | None = None) -> None:
        super().__init__(as_called(msg), returncode)
