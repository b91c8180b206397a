"""The plug-ins of pytest that most projects use, and a small service whose repository knows nothing of this product."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pytest_deploy.plugin.kept_out import comparable
from tests.foreign.strangers_machine import Machine, Repository

MOST_USED: Final = (
    "pytest-asyncio",
    "pytest-bdd",
    "pytest-benchmark",
    "pytest-clarity",
    "pytest-cov",
    "pytest-django",
    "pytest-env",
    "pytest-freezer",
    "pytest-httpx",
    "pytest-instafail",
    "pytest-mock",
    "pytest-order",
    "pytest-playwright",
    "pytest-randomly",
    "pytest-recording",
    "pytest-rerunfailures",
    "pytest-socket",
    "pytest-subtests",
    "pytest-sugar",
    "pytest-timeout",
)
_SERVICE: Final = '''\
"""Prices of parcels."""

import http.server
import os


class Prices(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"390")


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Prices).serve_forever()
'''
_SETTINGS: Final = """\
[tool.pytest]
strict = true
pythonpath = ["."]
filterwarnings = ["error"]
addopts = ["--import-mode=importlib"]
asyncio_mode = "auto"
DJANGO_SETTINGS_MODULE = "nowhere.settings"
"""
"""Of their own tests."""


@contextmanager
def machine_with(wheel: Path, folder: Path, *plugins: str) -> Iterator[Machine]:
    """A machine with these plug-ins; what else they need has the versions of the tests' own environment."""
    here = {one.name: one.version for one in importlib.metadata.distributions() if one.name != "pytest-deploy"}
    held = folder / "constraints.txt"
    held.write_text("".join(f"{name}=={version}\n" for name, version in sorted(here.items())), encoding="utf-8")
    # Nothing imports most of it. What each process imports is compiled once: who deploys may not write there.
    with Machine.open(wheel, "--no-compile", "--constraint", str(held), *plugins) as machine:
        environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        words = [str(machine.bin / "python"), "-m", "pytest", "--version"]
        subprocess.run(words, env=environ, cwd=folder, check=True, capture_output=True, timeout=60)
        yield machine


def prices(machine: Machine) -> Repository:
    """A service without a database, ready to be deployed."""
    files = {"serve.py": _SERVICE, "Procfile": "web: python serve.py\n", "pyproject.toml": _SETTINGS}
    repository = machine.repository("prices", files)
    repository.does("pytest-deploy", "init", "--no-database")
    repository.replace("deploy.yaml", "watch_s: 2,", "watch_s: 1,")
    repository.commit("Deployments")
    return repository


def assert_deployed_without(repository: Repository, plugins: tuple[str, ...], *words: str) -> None:
    """A whole deployment goes through, and its record names each plug-in among those that were kept out of it."""
    printed = repository.does("pytest", "--deploy-env=local", *words)

    assert "deployed in " in printed, printed
    assert set(repository.outcomes().values()) <= {"passed", "not-applicable", "not-run"}
    events = repository.events()
    opened = next(event["data"] for event in reversed(events) if event["type"] == "run.opened")
    assert set(plugins) <= set(map(comparable, opened["plugins_kept_out"]))
    assert not set(plugins) & set(map(comparable, opened["plugins"]))
