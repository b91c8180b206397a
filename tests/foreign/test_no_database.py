"""A node service and a static site, neither with a database, from `git init` to a release, a rollback and what is handed out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.node_project import DEPLOY, IGNORED, assert_node_goes_all_the_way
from tests.foreign.strangers_machine import Machine, built_wheel


@pytest.fixture(scope="module")
def machine(shared_folder: Path) -> Iterator[Machine]:
    with Machine.open(built_wheel(shared_folder)) as opened:
        yield opened


def test_a_node_service_is_deployed_rolled_back_rehearsed_and_handed_out(machine: Machine) -> None:
    assert_node_goes_all_the_way(machine)


def test_a_static_site_is_deployed(machine: Machine) -> None:
    """Whatever the command is: here Python's own file server."""
    site = machine.repository(
        "site",
        {
            "public/index.html": "<h1>Parcels</h1>\n",
            "public/serve.py": (
                "import functools, http.server, os\n"
                "server = http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler)\n"
                "server.serve_forever()\n"
            ),
            "deploy.yaml": DEPLOY.replace("source: service", "source: public")
            .replace("[node, server.js]", "[python, serve.py]\n  health: /index.html\n  health_names_commit: false")
            .replace("  checks:\n    tests: [node, --check, server.js]\n", ""),
            "suites/.gitkeep": "",
            ".gitignore": IGNORED,
        },
    )
    site.does("pytest-deploy", "steps", "--write")
    site.commit("The steps")

    site.does("pytest-deploy", "run", "local")

    assert set(site.outcomes().values()) == {"passed", "not-applicable", "not-run"}
