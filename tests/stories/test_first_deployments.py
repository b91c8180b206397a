"""The first release is deployed by one command, with the service's real checks; a second one is deployed over it."""

from __future__ import annotations

import hashlib
import json
import subprocess

from tests.checkout import Checkout
from tests.stories.claims import LEFT_OUT, NOTHING_TO_UNDO, assert_ended, locked, phase_of
from tests.tools import needs


def test_release_is_deployed_and_another_over_it(checkout: Checkout) -> None:
    needs("sha256sum")
    commit = checkout.git("rev-parse", "HEAD")

    ran = checkout.run("--deploy-env=local")

    assert_ended(checkout, ran, code=0, outcome="deployed")
    _every_step_passed(checkout)
    _evidence_is_complete(checkout)
    opened, request = checkout.said("run.opened")[0], checkout.said("request.made")[0]
    assert (opened["commit"], opened["dirty"]) == (commit, False)
    assert _sha256(checkout, "request.json") == request["request_sha256"]
    assert request["earlier"]["release"] is None
    first = checkout.standing()
    assert (first.status, first.body["commit"], first.tags) == (200, commit, {})
    assert [data["version"] for data in checkout.said("migration.applied")] == list(first.migrations)
    assert f"schema {first.migrations[-1]}, at http://127.0.0.1:" in ran.stdout
    (old,) = first.shares

    changed = checkout.path / "examples" / "diary" / "README.md"
    changed.write_text("Another release.\n", encoding="utf-8")
    commit = checkout.commit("Another release")
    ran = checkout.deploy()

    assert_ended(checkout, ran, code=0, outcome="deployed")
    _every_step_passed(checkout)
    second = checkout.standing()
    (new,) = second.shares
    assert new != old
    assert (second.status, second.body["commit"], second.tags) == (200, commit, {})
    assert second.schema_sha256 == first.schema_sha256
    moved = [(data["before"], data["after"]) for data in checkout.said("traffic.moved")]
    assert moved == [({old: 100}, {old: 50, new: 50}), ({old: 50, new: 50}, {new: 100})]
    assert checkout.said("migration.applied") == []
    earlier = checkout.said("request.made")[0]["earlier"]
    assert (earlier["revision"], earlier["release"]["commit"]) == (old, opened["commit"])


def _every_step_passed(checkout: Checkout) -> None:
    expected = {nodeid: "passed" if when == "always" else "not-run" for nodeid, when in locked(checkout).items()}
    assert checkout.step_outcomes() == expected
    causes = checkout.not_run()
    assert all(causes[nodeid] == LEFT_OUT.get(phase_of(nodeid), NOTHING_TO_UNDO) for nodeid in causes), causes


def _evidence_is_complete(checkout: Checkout) -> None:
    folder = checkout.run_folder()
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "junit.xml", "pytest.html", "allure-results", "request.json", "SHA256SUMS"} <= names
    assert checkout.said("run.closed")[0]["missing"] == []
    assert (checkout.path / "reports" / "index.html").is_file()
    words = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    checked = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(checked.stdout.splitlines()) == sum(path.is_file() for path in folder.rglob("*")) - 1
    assert _sha256(checkout, "SHA256SUMS") == checkout.said("run.closed")[0]["record_sha256"]
    results = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("allure-results/*-result.json")]
    passed = [nodeid for nodeid, outcome in checkout.step_outcomes().items() if outcome == "passed"]
    assert sum(result["status"] == "passed" for result in results) == len(passed)


def _sha256(checkout: Checkout, name: str) -> str:
    return hashlib.sha256((checkout.run_folder() / name).read_bytes()).hexdigest()
