"""PYTEST'S SIDE: the one folder that imports pytest."""

import sys

import pytest

from pytest_deploy.program import wrong_interpreter

if any(word.startswith("--deploy-") for word in sys.argv[1:]) and (_why := wrong_interpreter("pytest")):
    raise pytest.UsageError(f"nothing was started: {_why}")
