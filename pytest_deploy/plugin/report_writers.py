"""What pytest's own report writers say of a step: its phase, its requirements, its run, and how it ended in the record's words.

junit.xml carries them as properties, of each case and of the suite; allure-results as labels; pytest.html as columns. To all
three what is still needed, not applicable or not run is "skipped": a property, a category and a column keep them apart. None
of them states the run's outcome: that is decided from the log, after they are written.
"""

from __future__ import annotations

import hashlib
import html
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import allure_commons
import pytest

from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.record.plain_text import encodable, repr_of, words_of
from pytest_deploy.traceability.requirement_id import FORM, is_id

_ID_CELL: Final = '<td class="col-testId">'


def claims(item: pytest.Item, environment: str) -> tuple[str, ...]:
    """The requirements a step can exercise in an environment, as its marks name them, each once.

    Raises pytest.UsageError for a mark that names none: an id stands in the record, and is asked for by it.
    """
    named: dict[str, None] = {}
    for mark in item.iter_markers("requirement"):
        if len(mark.args) != 1 or not isinstance(mark.args[0], str) or not is_id(mark.args[0]):
            given = ", ".join(encodable(repr_of(one))[:100] for one in mark.args)
            raise pytest.UsageError(
                f"{item.nodeid}: requirement({given}) names no requirement: right is one id, {FORM}"
            )
        of = mark.kwargs.get("environment", environment)
        if environment in ((of,) if isinstance(of, str) else of):
            named[mark.args[0]] = None
    return tuple(named)


def properties(step: Step) -> list[tuple[str, str]]:
    """What junit.xml says of a step's case; allure-results has the same as labels, and the node id."""
    return [("phase", step.phase), *(("requirement", requirement) for requirement in step.verifies)]


def label_item(item: pytest.Item, step: Step) -> None:
    """Label an item for every report writer, whether it will run or be left out."""
    item.user_properties += properties(step)
    for kind, value in [*properties(step), ("step", step.nodeid)]:
        item.add_marker(pytest.mark.allure_label(value, label_type=kind))


SKIPPED: Final = ("not run", "still needed", "not applicable")
"""How a step can end whose report is skipped; the reason begins with these words."""


def write_categories(folder: Path) -> None:
    """Let allure keep apart what it calls skipped."""
    categories = [
        {"name": words.capitalize(), "matchedStatuses": ["skipped"], "messageRegex": rf"(Skipped: )?{words}: [\s\S]*"}
        for words in SKIPPED
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "categories.json").write_text(json.dumps(categories, indent=1) + "\n", encoding="utf-8")


class Labels:
    """The report writers' hooks in the controller, or the only process."""

    def __init__(self, suite: Mapping[str, str]) -> None:
        """`suite`: what is said once for the whole run, e.g. run, environment, release."""
        self._suite = suite
        self._outcomes: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Before the writers take its last report: how the step ended in the record; one without an end there was not run."""
        if report.when == "teardown":
            step: Mapping[str, Any] | None = getattr(report, "deploy_step", None)
            ended = step["outcome"] if step is not None else "error" if report.failed else "not-run"
            self._outcomes[report.nodeid] = ended
            report.user_properties.append(("outcome", ended))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        for plugin in session.config.pluginmanager.get_plugins():
            add = getattr(plugin, "add_global_property", None)  # pytest's writer of junit.xml; its class is private
            if add is not None:
                for name, value in self._suite.items():
                    add(name, value)

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        report.title = " ".join(self._suite.values())

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        cells[2:2] = ["<th>In the record</th>", "<th>Phase</th>", "<th>Requirements</th>"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        # A step's id may hold a parameter's text, and pytest-html puts it into its page as it is.
        cells[1] = f"{_ID_CELL}{html.escape(cells[1].removeprefix(_ID_CELL).removesuffix('</td>'))}</td>"
        shown: dict[str, list[str]] = {"phase": [], "requirement": []}
        for name, value in getattr(report, "user_properties", ()):  # a report of the collection has none
            shown.setdefault(name, []).append(html.escape(str(value)))
        ended = self._outcomes.get(getattr(report, "nodeid", ""), "error").replace("-", " ")
        told = (f"<td>{', '.join(shown[kind])}</td>" for kind in ("phase", "requirement"))
        cells[2:2] = [f'<td class="recorded">{ended}</td>', *told]


# --- What allure writes: its own words of an error, a parameter's repr, whatever a step gives it


class AllureTexts:
    """Before allure's results are written: each text in them can be, and holds no secret. A plug-in of allure's and of pytest's."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    def pytest_plugin_registered(self, plugin: object, plugin_name: str) -> None:
        """Allure makes a result's name and history id of a step's parameters, by their text and repr: it gets some that have one."""
        if plugin_name == "allure_listener":
            setattr(plugin, "_AllureListener__get_pytest_params", _parameters)  # noqa: B010 -- allure has no public way

    @allure_commons.hookimpl(tryfirst=True)
    def report_result(self, result: Any) -> None:
        self._clean(result)

    @allure_commons.hookimpl(tryfirst=True)
    def report_container(self, container: Any) -> None:
        self._clean(container)

    @allure_commons.hookimpl(tryfirst=True)
    def report_globals(self, globals_item: Any) -> None:
        self._clean(globals_item)

    def _clean(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, list):
            value[:] = [self._clean(inner) for inner in value]
            return value
        if hasattr(type(value), "__attrs_attrs__"):
            for name, inner in list(vars(value).items()):
                setattr(value, name, self._clean(inner))
            return value
        return self._redact(words_of(value))


class _Said:
    """Stands in for a value that cannot say what it is."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __repr__(self) -> str:
        return self._words


def _parameters(item: Any) -> dict[str, object]:
    given = item.callspec.params if hasattr(item, "callspec") else {}
    return {name: _sayable(value) for name, value in given.items()}


def _sayable(value: object) -> object:
    if isinstance(value, str):
        return encodable(str.__str__(value))
    words = repr_of(value)
    try:
        return value if repr(value) == words else _Said(words)
    except BaseException:  # noqa: BLE001 -- somebody else's __repr__ may raise anything
        return _Said(words)


# --- Steps that no worker was ever handed
#
# Without these reports a distributed run's junit.xml, pytest.html and allure-results would hold only what ran, and a
# reader could take the rest for not existing.


def report_skipped(config: pytest.Config, steps: Mapping[Step, str]) -> None:
    """Report each step as skipped, with its cause, as its own worker would have."""
    for step, cause in steps.items():
        file, _, name = step.nodeid.partition("::")
        location = (file, 0, name)
        config.hook.pytest_runtest_logstart(nodeid=step.nodeid, location=location)
        now = time.time()
        about: dict[str, Any] = {"keywords": {}, "start": now, "stop": now, "user_properties": properties(step)}
        reason = (file, 0, f"Skipped: not run: {cause}")
        for report in (
            pytest.TestReport(step.nodeid, location, outcome="skipped", longrepr=reason, when="setup", **about),
            pytest.TestReport(step.nodeid, location, outcome="passed", longrepr=None, when="teardown", **about),
        ):
            config.hook.pytest_runtest_logreport(report=report)
        config.hook.pytest_runtest_logfinish(nodeid=step.nodeid, location=location)
        if config.option.allure_report_dir:
            _report_to_allure(step, cause, file, name)


def _report_to_allure(step: Step, cause: str, file: str, name: str) -> None:
    from allure_commons.model2 import Label, Status, StatusDetails, TestResult

    now = round(time.time() * 1000)
    kinds = [*properties(step), ("step", step.nodeid), ("framework", "pytest")]
    result = TestResult(
        uuid=str(uuid4()),
        name=name,
        fullName=f"{file}#{name}",
        historyId=hashlib.md5(step.nodeid.encode(), usedforsecurity=False).hexdigest(),
        status=Status.SKIPPED,
        statusDetails=StatusDetails(message=f"not run: {cause}"),
        labels=[Label(name=kind, value=value) for kind, value in kinds],
        start=now,
        stop=now,
    )
    allure_commons.plugin_manager.hook.report_result(result=result)
