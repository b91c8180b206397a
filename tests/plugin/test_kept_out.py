"""Plug-ins of the project's environment take no part in a deployment that deploy.yaml does not list: tried on real child sessions.

The child's interpreter finds the foreign plug-ins before this project's own, as it may in anybody's environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment_of_plugins import PluginEnvironment
from tests.project_checkout import Checkout
from tests.stories.one_step_checkout import one_step_checkout

SMOKE = ("--deploy-env=local", "--deploy-pipeline=smoke")
BENDS = """
import os, pathlib, pytest

TRACES = pathlib.Path(os.environ["TRACES"])
(TRACES / f"imported-{os.getpid()}").touch()

def pytest_addoption(parser):
    parser.addoption("--bent", default="")
    parser.addini("bent_mode", "how", default="")

def pytest_runtest_logreport(report):
    (TRACES / "took part").touch()

class Other:
    pass

def pytest_configure(config):
    config.pluginmanager.register(Other())
"""
"""A plug-in that leaves traces; it brings an option, an ini key and a plug-in object."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    with one_step_checkout(tmp_path_factory.mktemp("plugins")) as checkout:
        yield checkout


@pytest.fixture
def checkout(opened: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """The tree as it was committed, before and after."""
    yield opened
    opened.git("reset", "--quiet", "--hard")


@pytest.fixture
def bent(tmp_path: Path) -> PluginEnvironment:
    """An environment in which the plug-in pytest-bent 1.0 is installed."""
    environment = PluginEnvironment.make(tmp_path / "environment", {"TRACES": str(tmp_path / "traces")})
    environment.install("pytest-bent", "1.0", entry="bent", module="bent", source=BENDS)
    (tmp_path / "traces").mkdir()
    return environment


def write_pytest_settings(checkout: Checkout, *, first: bool = False, more: str = "", addopts: str = "") -> None:
    """What a project says to pytest that does not know of this product's `-p`; `first`: it does."""
    ours = '"-p", "pytest_deploy.plugin.plugin", ' if first else ""
    checkout.write(
        "pyproject.toml",
        f'[tool.pytest]\nstrict = true\npythonpath = ["."]\nfilterwarnings = ["error"]\n{more}'
        f'addopts = [{ours}"--import-mode=importlib"{addopts}]\n',
    )


@pytest.mark.parametrize("words", [(), ("-n2",)], ids=["serial", "n2"])
@pytest.mark.parametrize("first", [True, False], ids=["with -p", "plain"])
def test_an_installed_plugin_takes_no_part_and_the_record_names_it(
    checkout: Checkout, bent: PluginEnvironment, tmp_path: Path, words: tuple[str, ...], *, first: bool
) -> None:
    write_pytest_settings(checkout, first=first, more='bent_mode = "auto"\n')

    ran = bent.run(checkout, *SMOKE, *words)

    assert ran.code == 0, ran.said
    (opened,) = checkout.said("run.opened")
    assert opened["plugins_kept_out"]["pytest-bent"] == "1.0"
    assert "pytest-bent" not in opened["plugins"]
    assert {"pytest", "pytest-deploy", "pytest-xdist", "pytest-html", "pytest-metadata", "allure-pytest"} == set(
        opened["plugins"]
    )
    # Pytest may have come to it first: once, and the process that deploys is another start of it.
    assert len(traces(tmp_path, "imported-*")) == (0 if first else 1)
    assert not traces(tmp_path, "took part")


@pytest.mark.parametrize("words", [(), ("-n2",)], ids=["serial", "n2"])
def test_a_listed_plugin_takes_part_and_the_record_names_it(
    checkout: Checkout, bent: PluginEnvironment, tmp_path: Path, words: tuple[str, ...]
) -> None:
    write_pytest_settings(checkout)

    ran = bent.run(checkout, *SMOKE, "--deploy-set=plugins=[Pytest_Bent]", *words)

    assert ran.code == 0, ran.said
    (opened,) = checkout.said("run.opened")
    assert opened["plugins"]["pytest-bent"] == "1.0"
    assert "pytest-bent" not in opened["plugins_kept_out"]
    assert traces(tmp_path, "took part")


def test_a_listed_plugin_that_is_not_installed_is_named(checkout: Checkout, bent: PluginEnvironment) -> None:
    ran = bent.run(checkout, *SMOKE, "--deploy-set=plugins=[pytest-bent, pytest-nowhere]")

    assert ran.code == 4, ran.said
    assert "deploy.yaml lists under plugins: pytest-nowhere, and no such pytest plug-in is installed" in ran.stderr


def test_an_option_of_a_plugin_that_is_kept_out_is_refused_with_who_may_know_it(
    checkout: Checkout, bent: PluginEnvironment
) -> None:
    ran = bent.run(checkout, *SMOKE, "--bent=much")

    assert ran.code == 4, ran.said
    assert "unrecognized arguments: --bent=much. A deployment runs without" in ran.stderr
    assert "pytest-bent 1.0" in ran.stderr


@pytest.mark.parametrize(
    "more, addopts",
    [("", ', "--bent=much"'), ('bent_mode = "auto"\n', ""), ('required_plugins = ["pytest-bent>=1"]\n', "")],
    ids=["its option in addopts", "its ini key", "required"],
)
def test_what_the_own_tests_say_to_a_plugin_that_is_kept_out_has_no_say(
    checkout: Checkout, bent: PluginEnvironment, more: str, addopts: str
) -> None:
    write_pytest_settings(checkout, more=more, addopts=addopts)

    ran = bent.run(checkout, *SMOKE)

    assert ran.code == 0, ran.said


def test_a_plugin_asked_for_by_p_is_refused(checkout: Checkout, bent: PluginEnvironment) -> None:
    ran = bent.run(checkout, *SMOKE, "-p", "bent")

    assert ran.code == 4, ran.said
    assert "plug-in pytest-bent (installed, active)" in ran.stderr
    assert "plug-in object of bent.Other" not in ran.stderr, "it was judged before it was configured"


def test_where_the_process_cannot_be_started_anew_nothing_is(checkout: Checkout, bent: PluginEnvironment) -> None:
    write_pytest_settings(checkout)
    words = ("-c", f"import pytest; raise SystemExit(pytest.main({list(SMOKE)}))")

    ran = bent.python(checkout, *words)

    assert ran.code == 4, ran.said
    assert "nothing was started: a program called pytest" in ran.stderr


def test_without_a_deployment_the_plugin_takes_part(
    checkout: Checkout, bent: PluginEnvironment, tmp_path: Path
) -> None:
    write_pytest_settings(checkout, more='bent_mode = "auto"\n')

    ran = bent.run(checkout, "--import-mode=importlib", "suites/smoke", "--bent=much")

    assert "unrecognized" not in ran.stderr, ran.said
    assert traces(tmp_path, "took part")


def traces(tmp_path: Path, pattern: str) -> list[Path]:
    return list((tmp_path / "traces").glob(pattern))
