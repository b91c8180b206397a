"""The plug-ins of pytest that most projects use are installed, and a deployment goes through without them: `make faults`."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pytest_deploy.plugin.kept_out import comparable
from tests.environment_of_plugins import PluginEnvironment
from tests.project_checkout import Checkout
from tests.stories.one_step_checkout import one_step_checkout

pytestmark = pytest.mark.faults

MOST_USED = [
    "pytest-asyncio",
    "pytest-bdd",
    "pytest-benchmark",
    "pytest-clarity",
    "pytest-cov",
    "pytest-django",
    "pytest-env",
    "pytest-freezer",
    "pytest-httpx",
    "pytest-instafail",
    "pytest-mock",
    "pytest-order",
    "pytest-playwright",
    "pytest-randomly",
    "pytest-recording",
    "pytest-rerunfailures",
    "pytest-socket",
    "pytest-subtests",
    "pytest-sugar",
    "pytest-timeout",
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    with one_step_checkout(tmp_path_factory.mktemp("plugins")) as made:
        # A project that knows nothing of this product: pytest may come to every other plug-in first.
        made.write(
            "pyproject.toml",
            '[tool.pytest]\nstrict = true\npythonpath = ["."]\nfilterwarnings = ["error"]\naddopts = ["--import-mode=importlib"]\n'
            'asyncio_mode = "auto"\nDJANGO_SETTINGS_MODULE = "nowhere.settings"\n',
        )
        yield made


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> PluginEnvironment:
    """An environment that holds all of them; what else they need is as it is here, where it is here."""
    folder = tmp_path_factory.mktemp("most-used")
    made = PluginEnvironment.make(folder / "environment", {})
    here = {one.name: one.version for one in importlib.metadata.distributions() if one.name != "pytest-deploy"}
    (folder / "here.txt").write_text("".join(f"{name}=={version}\n" for name, version in sorted(here.items())))
    words = (
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "--target",
        str(made.packages),
        "--constraint",
        str(folder / "here.txt"),
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pip", *words, *MOST_USED], capture_output=True, text=True, check=False, timeout=400
    )
    assert ran.returncode == 0, ran.stderr
    return made


@pytest.mark.parametrize("words", [(), ("-n2",)], ids=["serial", "n2"])
def test_a_deployment_goes_through_with_all_of_them_installed(
    checkout: Checkout, environment: PluginEnvironment, words: tuple[str, ...]
) -> None:
    ran = environment.run(checkout, "--deploy-env=local", "--deploy-pipeline=smoke", *words)

    assert ran.code == 0, ran.said
    (opened,) = checkout.said("run.opened")
    assert set(MOST_USED) <= set(map(comparable, opened["plugins_kept_out"]))
    assert not set(MOST_USED) & set(map(comparable, opened["plugins"]))
