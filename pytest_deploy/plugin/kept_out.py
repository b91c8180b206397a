"""Plug-ins of the project's environment take no part in a deployment: those that it needs do, and those deploy.yaml lists.

This plug-in comes first (plugin/configuration.py), so that nothing of the others is imported. What is asked for otherwise
(`-p`, PYTEST_PLUGINS, a conftest) is not kept out here; option_policy refuses it.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pytest

from pytest_deploy.errors import DeployError
from pytest_deploy.plugin import options
from pytest_deploy.plugin.allowed_options import PLUGINS

GROUP: Final = "pytest11"
KEPT_OUT: Final[pytest.StashKey[Mapping[str, str]]] = pytest.StashKey()
"""The distributions whose plug-ins are kept out of this deployment, and their versions."""
LISTED: Final[pytest.StashKey[frozenset[str]]] = pytest.StashKey()
"""The distributions that deploy.yaml lists, by comparable name."""


def keep_out(config: pytest.Config, parser: pytest.Parser) -> None:
    """Keep out every installed plug-in that is neither needed nor listed. To be called before pytest loads the others."""
    manager = config.pluginmanager
    listed = frozenset(map(comparable, _listed(config, parser)))
    wanted = {*map(comparable, PLUGINS), *listed}
    kept_out: dict[str, str] = {}
    names: list[str] = []
    for distribution in importlib.metadata.distributions():
        entries = [entry.name for entry in distribution.entry_points if entry.group == GROUP]
        # What is broken, so that it does not say what it is, is not needed either.
        name, version = distribution.metadata["Name"] or "", distribution.metadata["Version"] or ""
        if entries and comparable(name) not in wanted:
            kept_out.setdefault(name or "without a name", version)
            names += entries
    for name in names:
        manager.set_blocked(name)  # takes out one that is loaded
    config.stash[KEPT_OUT], config.stash[LISTED] = dict(sorted(kept_out.items())), listed


def refuse_to_be_taken_out(config: pytest.Config, parser: pytest.Parser, by: str) -> None:
    """Where the words ask for a deployment, raise pytest.UsageError: without this plug-in they would be a test run."""
    in_environment, in_file = shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), config.getini("addopts")
    words = [*in_environment, *in_file, *map(str, config.invocation_params.args)]
    if parser.parse_known_args(words).deploy_env is not None:
        raise pytest.UsageError(f"nothing was started: -p {by} takes out what makes this a deployment; take it away")


def comparable(name: str) -> str:
    """A distribution's name as names are compared: `Pytest_Cov` is `pytest-cov`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def active(config: pytest.Config) -> dict[str, str]:
    """The installed distributions whose plug-ins take part, and their versions."""
    manager = config.pluginmanager
    found = [(plugin, dist.metadata["Name"], dist.version) for plugin, dist in manager.list_plugin_distinfo()]
    return {str(name): version for plugin, name, version in found if manager.is_registered(plugin)}


def refuse_unknown_options(config: pytest.Config, parser: pytest.Parser, words: Sequence[str]) -> None:
    """Say of an option that no plug-in of this deployment has where it stands and who is kept out. Raises pytest.UsageError."""
    kept_out = config.stash.get(KEPT_OUT, None)
    if not kept_out:
        return
    _, unknown = parser.parse_known_and_unknown_args(list(words))
    if unknown:
        raise pytest.UsageError(
            f"nothing was started: unrecognized arguments: {', '.join(unknown)}. A deployment runs without {_versions(kept_out)}, "
            "which may know it. Take it away; what only the project's own tests need stands best where those are started"
        )


def refuse_missing(config: pytest.Config, names: Iterable[str]) -> None:
    """Raise pytest.UsageError for a plug-in that deploy.yaml lists and that does not take part."""
    there = set(map(comparable, active(config)))
    if missing := [name for name in names if comparable(name) not in there]:
        raise pytest.UsageError(
            f"nothing was started: deploy.yaml lists under plugins: {', '.join(missing)}, and no such pytest plug-in is installed: "
            "install it (the name is that of its distribution, e.g. pytest-asyncio), or take it off the list"
        )


def _listed(config: pytest.Config, parser: pytest.Parser) -> tuple[str, ...]:
    """What deploy.yaml lists for the environment that is asked for."""
    from pytest_deploy.policy.load import policy_of

    known = parser.parse_known_args(list(map(str, config.invocation_params.args)))
    try:
        return policy_of(options.workspace_of(config, known), tuple(known.deploy_set)).plugins
    except DeployError:
        return ()  # what is wrong with deploy.yaml is said where it is read, and nothing starts by it


def _versions(distributions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in distributions.items())
