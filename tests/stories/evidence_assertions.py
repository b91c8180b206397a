"""What every closed run's folder holds, held against its events: reports, labels, attachments, times, the statement."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from pytest_deploy.record.event import Event
from tests.project_checkout import Checkout
from tests.required_programs import needs

FILES = {"report.html", "junit.xml", "pytest.html", "allure-results", "statement.json", "request.json", "SHA256SUMS"}


def assert_complete(checkout: Checkout, run: str) -> None:
    """Every file is there, bound by SHA256SUMS, and tells of every step of the run."""
    folder = checkout.store / "runs" / run
    events = checkout.events(run)
    assert {path.name for path in folder.iterdir()} >= FILES
    assert checkout.said("run.closed", run)[0]["missing"] == []
    _assert_sealed(folder, checkout.said("run.closed", run)[0]["record_sha256"])
    _assert_junit(folder, events)
    _assert_allure(folder, events)
    _assert_page(folder, events)
    _assert_statement(folder, events)


def _steps(events: list[Event]) -> dict[str, dict[str, Any]]:
    told = [event for event in events if event.type in {"step.finished", "step.not-run"}]
    return {
        event.data["nodeid"]: {"outcome": "not-run", "attachments": {}, "verifies": [], **event.data} for event in told
    }


def _assert_sealed(folder: Path, bound: str) -> None:
    needs("sha256sum")
    words = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    checked = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(checked.stdout.splitlines()) == sum(path.is_file() for path in folder.rglob("*")) - 1
    assert hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest() == bound


def _assert_junit(folder: Path, events: list[Event]) -> None:
    """One case a step, with its phase, its requirements and how it ended; the suite says which run it is, and not how that ended."""
    opened = next(event.data for event in events if event.type == "run.opened")
    (suite,) = ET.parse(folder / "junit.xml").getroot()  # noqa: S314 -- pytest has just written it
    assert {one.attrib["name"]: one.attrib["value"] for one in suite.findall("./properties/property")} == {
        "run": events[0].run, "environment": opened["environment"], "release": opened["version"],
    }  # fmt: skip
    cases = {}
    for case in suite.findall("testcase"):
        nodeid = f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name']}"
        cases[nodeid] = [(one.attrib["name"], one.attrib["value"]) for one in case.findall("./properties/property")]
    assert cases == {
        nodeid: [
            ("phase", said["phase"]),
            *(("requirement", name) for name in said.get("claims", [])),
            ("outcome", said["outcome"]),
        ]
        for nodeid, said in _steps(events).items()
    }


def _assert_allure(folder: Path, events: list[Event]) -> None:
    """One result a step, with phase, requirements, times and what it attached."""
    results = {}
    for path in folder.glob("allure-results/*-result.json"):
        said = json.loads(path.read_text(encoding="utf-8"))
        labels = [(label["name"], label["value"]) for label in said["labels"]]
        (nodeid,) = [value for name, value in labels if name == "step"]
        assert nodeid not in results, "a step has two results"
        results[nodeid] = said, labels
    steps = _steps(events)
    assert results.keys() == steps.keys()
    for nodeid, (said, labels) in results.items():
        step = steps[nodeid]
        assert [value for name, value in labels if name == "phase"] == [step["phase"]]
        assert {value for name, value in labels if name == "requirement"} == set(step.get("claims", []))
        assert (said["status"] == "passed") == (step["outcome"] == "passed"), nodeid
        assert said["start"] <= said["stop"]
        attached = {one["name"]: one["source"] for one in said.get("attachments", [])}
        for name, sha256 in step["attachments"].items():
            source = folder / "allure-results" / attached[name]
            assert hashlib.sha256(source.read_bytes()).hexdigest() == sha256


def _assert_page(folder: Path, events: list[Event]) -> None:
    page = (folder / "pytest.html").read_text(encoding="utf-8")
    assert all(nodeid.rpartition("::")[2] in page for nodeid in _steps(events))
    assert "<th>Requirements</th>" in page


def _assert_statement(folder: Path, events: list[Event]) -> None:
    said = json.loads((folder / "statement.json").read_bytes())
    predicate = said["predicate"]
    passed = {nodeid for nodeid, step in _steps(events).items() if step["outcome"] == "passed"}
    assert {*predicate["passedTests"], *predicate["warnedTests"]} == passed
    image = next(event.data["image"] for event in events if event.type == "request.made")
    assert said["subject"][0]["digest"]["sha256"] == image.rpartition(":")[2]
