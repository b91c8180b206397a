"""The specification's own command starts `rollback.yml`: by the real `gh`, against a server on loopback.

`gh` finds the workflow by its file, then asks for a run of it; the server answers as GitHub's description of those two says.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests import http_stand_in

ROOT = Path(__file__).parents[2]
COMMAND = "gh workflow run rollback.yml --ref main -f environment=production -f target_version=v1.2.3"
REPOSITORY = "example/diary"
WORKFLOW = {"id": 7, "node_id": "W_7", "name": "rollback", "path": ".github/workflows/rollback.yml", "state": "active"}


@contextmanager
def github() -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """Its address, and what was asked of it: method, path, body."""
    asked: list[tuple[str, str, Any]] = []

    class Handler(http_stand_in.JsonHandler):
        def do_GET(self) -> None:
            path = self._asked(None)
            known = path.endswith("/actions/workflows/rollback.yml")
            self.answer(200 if known else 404, WORKFLOW if known else {"message": "Not Found"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = self._asked(body)
            self.answer(204 if path.endswith("/dispatches") else 404, None)

        def _asked(self, body: Any) -> str:
            path = urlsplit(self.path).path
            asked.append((self.command, path, body))
            return path

    with http_stand_in.serving(Handler) as address:
        yield address, asked


def run(words: list[str], address: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`gh` with a home of its own, and that server in the place of GitHub."""
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder), "GH_CONFIG_DIR": str(folder), "GH_HOST": "github.localhost", "GH_TOKEN": "ghs-canary",
        "http_proxy": address, "GH_NO_UPDATE_NOTIFIER": "1", "GH_REPO": f"github.localhost/{REPOSITORY}",
    }  # fmt: skip
    return subprocess.run(words, env=variables, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_the_specifications_command_starts_a_rollback_with_inputs_that_the_workflow_declares(tmp_path: Path) -> None:
    with github() as (address, asked):
        ran = run(shlex.split(COMMAND), address, tmp_path)

    assert ran.returncode == 0, ran.stderr
    method, path, body = asked[-1]
    assert (method, path) == ("POST", f"/repos/{REPOSITORY}/actions/workflows/7/dispatches")
    assert body["ref"] == "main"
    assert body["inputs"] == {"environment": "production", "target_version": "v1.2.3"}
    workflow = yaml.safe_load((ROOT / WORKFLOW["path"]).read_text(encoding="utf-8"))  # type: ignore[operator]
    inputs = workflow[True]["workflow_dispatch"]["inputs"]  # `on` is true to YAML 1.1
    assert body["inputs"].keys() <= inputs.keys()
    assert {name for name, one in inputs.items() if one.get("required")} <= body["inputs"].keys()
    assert COMMAND in (ROOT / "spec" / "ops-deployment-automation.md").read_text(encoding="utf-8").replace(
        " \\\n  ", " "
    )


def test_a_workflow_that_is_not_there_is_no_rollback(tmp_path: Path) -> None:
    with github() as (address, asked):
        ran = run(shlex.split(COMMAND.replace("rollback.yml", "back.yml")), address, tmp_path)

    assert ran.returncode != 0
    assert not [one for one in asked if one[0] == "POST"]
