"""A real pytest writes its reports with a step's phase and requirements, and says which run they are of."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.plugin import report_writers
from pytest_deploy.plugin.collection import collected_by_worker
from tests.written_reports import in_allure, in_junit, in_pytest_html

SESSION = """
import pytest
from pytest_deploy.plugin import report_writers
from pytest_deploy.pipeline.steps_lock import Step

def pytest_configure(config):
    config.addinivalue_line("markers", "requirement(name): ...")
    config.pluginmanager.register(report_writers.Labels({"run": "local-1", "environment": "local", "release": "1.0 <b>"}))

def pytest_collection_modifyitems(items):
    for item in items:
        claims = report_writers.claims(item, "local")
        if item.name == "test_passes":
            claims += ("REQ-1-B<script>",)
        report_writers.label_item(item, Step(item.nodeid, "smoke", "always", False, claims))

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "teardown" and item.name in OUTCOMES:
        report.deploy_step = {"outcome": OUTCOMES[item.name]}
    return report

OUTCOMES = {"test_passes": "passed", "test_waits": "still-needed", "test_has_no_rule": "not-applicable", "test_fails": "failed"}
"""
STEPS = """
import pytest

pytestmark = pytest.mark.requirement("REQ-1-A")

@pytest.mark.requirement("REQ-1-A")
def test_passes():
    pass

@pytest.mark.skip(reason="not run: smoke failed; still needed: nothing")
def test_is_left_out():
    pass

def test_waits():
    pytest.skip("still needed: the window is closed")

def test_has_no_rule():
    pytest.skip("not applicable: not in this environment's policy")

def test_fails():
    assert 0
"""
CAN = [("phase", "smoke"), ("requirement", "REQ-1-A")]
"""What is said of each of them."""


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pytest's own writers made of two steps."""
    home = tmp_path_factory.mktemp("reported")
    (home / "conftest.py").write_text(SESSION, encoding="utf-8")
    (home / "test_steps.py").write_text(STEPS, encoding="utf-8")
    words = [
        "--junitxml=junit.xml",
        "--html=page.html",
        "--self-contained-html",
        "--alluredir=allure",
        f"--rootdir={home}",
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:allure_pytest_bdd", *words],
        cwd=home, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return home


def test_each_case_of_junit_names_its_phase_each_requirement_once_and_how_it_ended(reported: Path) -> None:
    (suite,) = ET.parse(reported / "junit.xml").getroot()  # noqa: S314 -- pytest has just written it
    told = {
        case.attrib["name"]: [(one.attrib["name"], one.attrib["value"]) for one in case.findall("properties/property")]
        for case in suite.findall("testcase")
    }

    assert told == {
        "test_passes": [*CAN, ("requirement", "REQ-1-B<script>"), ("outcome", "passed")],
        "test_is_left_out": [*CAN, ("outcome", "not-run")],
        "test_waits": [*CAN, ("outcome", "still-needed")],
        "test_has_no_rule": [*CAN, ("outcome", "not-applicable")],
        "test_fails": [*CAN, ("outcome", "failed")],
    }


def test_the_suite_of_junit_names_run_environment_and_release(reported: Path) -> None:
    (suite,) = ET.parse(reported / "junit.xml").getroot()  # noqa: S314 -- pytest has just written it

    assert [(one.attrib["name"], one.attrib["value"]) for one in suite.findall("properties/property")] == [
        ("run", "local-1"), ("environment", "local"), ("release", "1.0 <b>"),
    ]  # fmt: skip


def test_each_result_of_allure_is_labelled_the_one_left_out_too(reported: Path) -> None:
    results = [json.loads(path.read_text(encoding="utf-8")) for path in (reported / "allure").glob("*-result.json")]
    told = {
        one["name"]: sorted((label["name"], label["value"]) for label in one["labels"] if label["name"] in {"phase", "step", "requirement"})
        for one in results
    }  # fmt: skip

    assert told == {
        name: [*CAN, *([("requirement", "REQ-1-B<script>")] if name == "test_passes" else []), ("step", f"test_steps.py::{name}")]
        for name in ENDS
    }  # fmt: skip


ENDS = {
    "test_passes": "passed",
    "test_is_left_out": "not-run",
    "test_waits": "still-needed",
    "test_has_no_rule": "not-applicable",
    "test_fails": "failed",
}


@pytest.mark.parametrize("file, read", [("junit.xml", in_junit), ("page.html", in_pytest_html), ("allure", in_allure)])
def test_each_report_keeps_apart_what_pytest_calls_skipped(
    reported: Path, file: str, read: Callable[[Path], dict[str, str]]
) -> None:
    """junit.xml by a property and its message, pytest's page by a column, allure by a category."""
    report_writers.write_categories(reported / "allure")

    assert {nodeid.rpartition("::")[2]: ended for nodeid, ended in read(reported / file).items()} == ENDS


def test_pytests_page_has_a_column_for_each_and_names_the_run(reported: Path) -> None:
    page = (reported / "page.html").read_text(encoding="utf-8")

    assert "<th>Phase</th>" in page
    assert "REQ-1-A" in page
    assert "REQ-1-B<script>" not in page
    assert "local-1 local 1.0" in page


ODD = """
import pytest

class Mute:
    def __repr__(self):
        raise SystemExit(0)

class Half:
    def __repr__(self):
        return "\\udcff"

@pytest.mark.parametrize("value", ["plain", "half \\ud800 pair", Mute(), Half(), [Mute()], b"\\xff"])
def test_takes(value):
    assert value is not None
"""


def test_whatever_a_parameter_is_allures_result_of_its_step_is_written(tmp_path: Path) -> None:
    """Allure makes a step's history id of them: it would fail the step by its own error."""
    (tmp_path / "conftest.py").write_text(
        "import allure_commons\n"
        "from pytest_deploy.plugin.report_writers import AllureTexts\n"
        "def pytest_configure(config):\n"
        "    texts = AllureTexts(str)\n"
        "    config.pluginmanager.register(texts)\n"
        "    allure_commons.plugin_manager.register(texts)\n",
        encoding="utf-8",
    )
    (tmp_path / "test_odd.py").write_text(ODD, encoding="utf-8")
    words = ["-q", "-p", "no:allure_pytest_bdd", "--alluredir=allure", f"--rootdir={tmp_path}"]

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    results = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "allure").glob("*-result.json")]
    shown = {one["parameters"][0]["value"]: one["historyId"] for one in results}
    assert len(results) == len(shown) == 6
    assert all(shown.values())
    assert shown["'plain'"] == hashlib.md5(b"test_odd#test_takesplain", usedforsecurity=False).hexdigest()


def test_a_step_nobody_ran_has_the_same_labels() -> None:
    step = Step("suites/smoke/test_a.py::test_it", "smoke", "always", changes=False, verifies=("REQ-1-A",))

    assert report_writers.properties(step) == [("phase", "smoke"), ("requirement", "REQ-1-A")]


def test_a_worker_tells_of_a_step_all_that_it_knows(tmp_path: Path) -> None:
    step = Step("suites/smoke/test_a.py::test_it", "smoke", "always", changes=True, verifies=("REQ-1-A", "REQ-1-B"))

    (tmp_path / "collected-gw0").write_bytes(msgspec.json.encode([step]))
    (told,) = collected_by_worker(tmp_path / "collected-gw0")

    assert (told, told.verifies) == (step, step.verifies)


def test_a_worker_that_refuses_is_refused_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "collected-gw0").write_bytes(msgspec.json.encode("plug-in x: a module of suites/ brought it"))

    with pytest.raises(pytest.UsageError, match="plug-in x: a module of suites/ brought it"):
        collected_by_worker(tmp_path / "collected-gw0")
