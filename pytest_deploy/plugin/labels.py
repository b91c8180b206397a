"""What pytest's own report writers say of a step besides its outcome: its phase, its requirements, its run.

junit.xml carries them as properties, of each case and of the suite; allure-results as labels; pytest.html as columns. None
of them states the run's outcome: that is decided from the log, after they are written.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import pytest

from pytest_deploy.pipeline.step import Step


def verifies(item: pytest.Item) -> tuple[str, ...]:
    """The assertions a step verifies, as its marks name them, each once."""
    return tuple(dict.fromkeys(str(mark.args[0]) for mark in item.iter_markers("requirement")))


def properties(phase: str, requirements: tuple[str, ...]) -> list[tuple[str, object]]:
    """The properties of a step's case in junit.xml."""
    return [("phase", phase), *(("requirement", one) for one in requirements)]


def labels(step: Step) -> list[tuple[str, str]]:
    """The labels of a step in allure-results: kind and value."""
    return [("phase", step.phase), ("step", step.nodeid), *(("requirement", one) for one in step.verifies)]


def put_on(item: pytest.Item, step: Step) -> None:
    """Label an item for every report writer, whether it will run or be left out."""
    item.user_properties += properties(step.phase, step.verifies)
    for kind, value in labels(step):
        item.add_marker(pytest.mark.allure_label(value, label_type=kind))


class Labels:
    """The report writers' hooks in the controller, or the only process."""

    def __init__(self, suite: Mapping[str, str]) -> None:
        """`suite`: what is said once for the whole run, e.g. run, environment, release."""
        self._suite = suite

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Put the run's own properties on junit.xml's suite."""
        for plugin in session.config.pluginmanager.get_plugins():
            add = getattr(plugin, "add_global_property", None)  # pytest's writer of junit.xml; its class is private
            if add is not None:
                for name, value in self._suite.items():
                    add(name, value)

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        """Name the run, not the file."""
        report.title = " ".join(self._suite.values())

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Two columns more, before the duration."""
        cells[2:2] = ["<th>Phase</th>", "<th>Requirements</th>"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """The step's phase and requirements, beside its name."""
        said: dict[str, list[str]] = {"phase": [], "requirement": []}
        for name, value in report.user_properties:
            said.setdefault(name, []).append(html.escape(str(value)))
        cells[2:2] = [f"<td>{', '.join(said['phase'])}</td>", f"<td>{', '.join(said['requirement'])}</td>"]
