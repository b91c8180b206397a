"""`deploy.py`: each word is one pytest run or one function. Exit codes: 0 done, 1 refused or found wrong, 4 usage."""

from pytest_deploy.cli import evidence, people, runs  # noqa: F401 -- importing them makes their commands known
from pytest_deploy.cli.app import app, main

__all__ = ["app", "main"]
