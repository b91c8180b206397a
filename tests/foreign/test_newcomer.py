"""docs/your-repository.md, followed word for word by somebody with a small service and the wheel."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.strangers_machine import Machine, built_wheel
from tests.project_checkout import REPOSITORY

SERVICE = '''\
"""Prices of parcels."""

import http.server
import json
import os


class Prices(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"cents": 390}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Prices).serve_forever()
'''
OWN_STEP = '''\
"""What people pay."""


def test_a_parcel_costs_390_cents(service, record):
    answer = service.call("GET", "/price")
    record.expect({"cents": 390}, answer.body)
    assert answer.body == {"cents": 390}
'''
MOST_COMMANDS = 6
"""Of a newcomer, from the installed package to the first deployment."""


@pytest.fixture(scope="module")
def machine(shared_folder: Path) -> Iterator[Machine]:
    with Machine.open(built_wheel(shared_folder)) as opened:
        yield opened


def chapters() -> dict[str, list[str]]:
    """The commands of the page, by chapter."""
    page = (REPOSITORY / "docs" / "your-repository.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)[1:]
    return {
        name: re.findall(r"^    (\S.*)$", text, re.MULTILINE)
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_a_newcomer_follows_the_page(machine: Machine) -> None:
    page = chapters()
    assert page["Install"][0] == "python -m pip install 'pytest-deploy[local]'", "what the wheel stands for here"
    assert len(page["Begin"]) <= MOST_COMMANDS
    installed = machine.bin.parent / "share" / "doc" / "pytest-deploy"
    for name in ("your-repository.md", "decisions/0033-installation.md"):
        assert (installed / name).read_bytes() == (REPOSITORY / "docs" / name).read_bytes(), "the page is there offline"
    repository = machine.repository("[prices] of::parcels", {"serve.py": SERVICE, "Procfile": "web: python serve.py\n"})

    for chapter, commands in page.items():
        if chapter == "Install":
            continue
        if chapter == "Steps of your own":
            repository.write("suites/smoke/test_price.py", OWN_STEP)
        for command in commands:
            repository.does(*shlex.split(command))

    assert repository.outcomes()["suites/smoke/test_price.py::test_a_parcel_costs_390_cents"] == "passed"
    repository.replace("serve.py", "390", "39")
    failed = repository.run("pytest", "--deploy-env=local")
    assert failed.code == 1, failed.said
    assert "rolled-back in" in failed.stdout, failed.said
