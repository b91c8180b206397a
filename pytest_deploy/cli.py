"""The command line, `pytest-deploy`: every command by name. Exit codes: 0 done, 1 refused or found wrong, 4 usage."""

from pytest_deploy.commands import evidence, people, runs  # noqa: F401 -- importing them makes their commands known
from pytest_deploy.commands.app import app, main

__all__ = ["app", "main"]
