"""The table of what may differ knows every option and plug-in that pytest and what is installed declare."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_deploy.errors import OptionRefused
from pytest_deploy.plugin import allowed_options, option_policy
from pytest_deploy.plugin.allowed_options import BUILTIN, OPTIONS, PLUGINS, VARIABLES, OptionRule
from pytest_deploy.plugin.kept_out import GROUP
from tests.child_process import environ_without_pytest

REASON = "because"


ASK = """
import json, sys, pytest
from types import ModuleType

class Ask:
    def pytest_configure(self, config):
        plugins = config.pluginmanager
        by_itself = [
            name for name, plugin in plugins.list_name_plugin()
            if isinstance(plugin, ModuleType) and plugin.__name__.startswith("_pytest.")
        ]
        declared = {
            "options": [option.dest for group in config._parser._groups for option in group.options],
            "by itself": by_itself,
            "installed": [dist.metadata["Name"] for _, dist in plugins.list_plugin_distinfo()],
        }
        print("DECLARED", json.dumps(declared))

sys.exit(pytest.main(["--collect-only", "-q", "tests/unit/phase", *sys.argv[1:]], plugins=[Ask()]))
"""


@pytest.fixture(scope="module")
def declared() -> dict[str, set[str]]:
    """What a pytest of its own declares that loads what a deployment needs: this one holds others as well."""
    others = [
        f"-pno:{entry.name}"
        for distribution in importlib.metadata.distributions()
        for entry in distribution.entry_points
        if entry.group == GROUP and distribution.name not in PLUGINS
    ]
    ran = subprocess.run(
        [sys.executable, "-c", ASK, *others],
        cwd=Path(__file__).parents[3],
        env=environ_without_pytest(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    line = next(line for line in ran.stdout.splitlines() if line.startswith("DECLARED "))
    return {kind: set(names) for kind, names in json.loads(line.removeprefix("DECLARED ")).items()}


def test_every_option_of_pytest_and_the_installed_plugins_is_classified_and_no_other(
    declared: dict[str, set[str]],
) -> None:
    by_pytest_besides = {"file_or_dir", "quiet"}  # the paths; what -q leaves
    assert declared["options"] | by_pytest_besides == set(OPTIONS)


def test_every_plugin_that_pytest_loads_by_itself_is_classified_and_no_other(declared: dict[str, set[str]]) -> None:
    assert declared["by itself"] == set(BUILTIN)


def test_every_installed_plugins_distribution_is_classified_and_no_other(declared: dict[str, set[str]]) -> None:
    assert declared["installed"] == set(PLUGINS)


@pytest.mark.parametrize("table", [OPTIONS, PLUGINS, BUILTIN, VARIABLES])
def test_every_entry_has_a_reason_of_one_line(table: dict[str, OptionRule]) -> None:
    assert all(verdict.reason.strip() and "\n" not in verdict.reason for verdict in table.values())


def test_a_name_classified_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="classified twice: b"):
        allowed_options.table((OptionRule(REASON), "a b"), (OptionRule(REASON, None), "b c"))


@pytest.mark.parametrize(
    "values, value, allowed",
    [
        (None, "anything", True),
        ((), "default", True),
        ((), "other", False),
        (("this", "that"), "that", True),
        (("this", "that"), "default", False),
    ],
)
def test_a_verdict_allows_any_value_the_default_or_those_it_names(
    values: tuple[object, ...] | None, value: str, *, allowed: bool
) -> None:
    assert allowed is OptionRule(REASON, values).allows(value, "default")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PYTEST_ADDOPTS": " "},
        {"PYTEST_PLUGINS": ""},
        {"PYTEST_VERSION": "9", "PYTEST_CURRENT_TEST": "x", "PYTEST_XDIST_WORKER": "gw0"},
        {"PYTEST_THEME": "dark", "PYTEST_XDIST_AUTO_NUM_WORKERS": "2"},
        {"OTHER": "1", "PATH": "/bin"},
    ],
)
def test_a_variable_that_bends_nothing_is_allowed(environ: dict[str, str]) -> None:
    assert not list(option_policy.variables(environ))


@pytest.mark.parametrize(
    "name",
    ["PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_TIMEOUT", "PYTEST_UNHEARD_OF"],
)
def test_a_variable_that_speaks_to_pytest_is_refused_by_name(name: str) -> None:
    (fault,) = option_policy.variables({name: "1"})
    assert fault.startswith(f"environment variable {name}=1: ")


def test_this_very_test_run_would_be_refused_as_a_deployment_with_everything_named_at_once(
    pytestconfig: pytest.Config,
) -> None:
    """It was given what only tests have: a conftest.py of tests/, and the values of this test run."""
    with pytest.raises(OptionRefused) as refused:
        option_policy.refuse(pytestconfig)
    lines = str(refused.value).splitlines()
    assert lines[0].endswith("Nothing was started, nothing was written.")
    assert any("tests/conftest.py: only the conftest.py of" in line for line in lines)
    assert lines[-1].startswith("Beside --deploy-* a deployment takes -n, ")


def test_what_is_offered_is_what_is_permitted(pytestconfig: pytest.Config) -> None:
    offered = option_policy.allowed_on_command_line(pytestconfig)
    spelled = {
        name: option.dest
        for group in pytestconfig._parser._groups
        for option in group.options
        for name in option.names()
    }
    assert all(OPTIONS[spelled[name]].values != () for name in offered)
    assert {"-n", "-v", "-s", "--tb", "--co"} <= set(offered)


def test_the_settings_are_the_permitted_options_that_differ_from_their_defaults(pytestconfig: pytest.Config) -> None:
    """Of this test run: what pyproject.toml adds is among them; what no deployment permits (--cov, -k) is not."""
    settings = option_policy.settings(pytestconfig)
    assert settings["importmode"] == "importlib"
    assert "no:allure_pytest_bdd" in settings["plugins"]
    assert all(OPTIONS[name].values != () for name in settings)
    assert "deploy_pipeline" not in settings
