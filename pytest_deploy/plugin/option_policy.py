"""Nothing but what is allowed may bend a deployment: judged on the final options and active plug-ins.

It does not matter where a value comes from (the command line, PYTEST_ADDOPTS, -o, -c, an @file):
what counts is what pytest made of it all. What is allowed, and why, stands in plugin/allowed_options.py.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_deploy.errors import OptionRefused
from pytest_deploy.plugin import committed, configuration
from pytest_deploy.plugin.allowed_options import BUILTIN, OPTIONS, PLUGINS, UNKNOWN, VARIABLE_PREFIX, VARIABLES
from pytest_deploy.plugin.kept_out import LISTED, comparable

_NOT_SUGGESTED = {"help", "version", "quiet"}
"""Permitted options that the message need not offer."""


def refuse(config: pytest.Config) -> None:
    """Refuse whatever could thin out or bend the run. Raises OptionRefused naming everything found and what is allowed.

    To be asked before any plug-in acts on its options: in the first `pytest_cmdline_main` (xdist rewrites --dist and --tx
    there, and --looponfail never comes to `pytest_configure`). Not in xdist's workers: they get what was judged here.
    """
    faults = [
        *_interpreter(sys.flags.optimize),
        *variables(os.environ),
        *_options(config),
        *_configuration_file(config),
        *_plugins(config),
    ]
    _raise(faults, allowed_on_command_line(config))


def refuse_variables(environ: Mapping[str, str]) -> None:
    """The same of the environment alone, where pytest has no options yet. Raises OptionRefused."""
    _raise(list(variables(environ)), ())


def _raise(faults: Sequence[str], allowed: Sequence[str]) -> None:
    if not faults:
        return
    count = "1 thing" if len(faults) == 1 else f"{len(faults)} things"
    offered = (f"Beside --deploy-* a deployment takes {', '.join(allowed)}: see `pytest --help`.",) if allowed else ()
    raise OptionRefused(
        "\n".join(
            [
                f"{count} could thin out or bend this deployment. Nothing was started, nothing was written.",
                *(f"  {fault}" for fault in dict.fromkeys(faults)),
                f"Take {'it' if len(faults) == 1 else 'them'} away and start again.",
                *offered,
            ]
        )
    )


def settings(config: pytest.Config) -> dict[str, Any]:
    """The permitted options that differ from their defaults, by name: what `run.opened` says under `options`.

    The --deploy-* options are left out: the record says them in places of their own.
    """
    defaults = _defaults(config)
    return {
        name: value
        for name, value in sorted(vars(config.option).items())
        if OPTIONS.get(name, UNKNOWN).values != () and value != defaults.get(name) and not name.startswith("deploy_")
    }


def variables(environ: Mapping[str, str]) -> Iterator[str]:
    """What the environment says to pytest, or to Python, that it may not; an empty variable says nothing."""
    for name, value in sorted(environ.items()):
        if (name.startswith(VARIABLE_PREFIX) or name in VARIABLES) and value.strip():
            rule = VARIABLES.get(name, UNKNOWN)
            ours = name == committed.PREFIX_VARIABLE and committed.is_ours(value)
            if not rule.allows(value, "") and not ours:
                yield f"environment variable {name}={value}: {rule.reason}"


def allowed_on_command_line(config: pytest.Config) -> list[str]:
    """The options to offer to whoever was refused: their shortest spelling."""
    names = _spellings(config)
    free = [dest for dest, rule in OPTIONS.items() if rule.values is None and dest not in _NOT_SUGGESTED]
    shown = [min(names[dest], key=len) for dest in free if dest in names and not dest.startswith("deploy_")]
    return [*shown, "-s"]


def _interpreter(optimize: int) -> Iterator[str]:
    if optimize:
        yield "python -O or PYTHONOPTIMIZE: takes assertions out, and the steps with them; every check would pass"


def _configuration_file(config: pytest.Config) -> Iterator[str]:
    """A deployment's own configuration alone: no other file that `-c` names."""
    if config.inipath is None or not configuration.is_own(str(config.inipath)):
        yield f"configuration file {config.inipath}: a deployment has a configuration of its own, and takes no other"


def _options(config: pytest.Config) -> Iterator[str]:
    defaults = _defaults(config) | configuration.options(Path(config.rootpath), config.option.inifilename)
    for name, value in sorted(vars(config.option).items()):
        rule = OPTIONS.get(name, UNKNOWN)
        if not rule.allows(value, defaults.get(name)):
            yield f"{_as_given(config, name, value)}: {rule.reason}"


def _defaults(config: pytest.Config) -> dict[str, Any]:
    """Each option's value on an empty command line.

    Some options' actions fill their default (an empty list or mapping) in place; every such default is empty.
    """
    plain = vars(config._parser.parse_known_args([]))  # noqa: SLF001 -- pytest hands its parser to pytest_addoption alone
    return {name: type(value)() if isinstance(value, list | dict | set) else value for name, value in plain.items()}


def _spellings(config: pytest.Config) -> dict[str, dict[str, bool]]:
    """How each option may be written, and whether a value follows; by its name on `config.option`."""
    spellings: dict[str, dict[str, bool]] = {}
    for group in config._parser._groups:  # noqa: SLF001 -- no public way to an option's spellings
        for option in group.options:
            takes_value = option.attrs().get("nargs") != 0
            spellings.setdefault(option.dest, {}).update(dict.fromkeys(option.names(), takes_value))
    return spellings


def _as_given(config: pytest.Config, name: str, value: object) -> str:
    """An option as its giver knows it: the spelling used, its value, and where it stands if not on the command line."""
    if isinstance(value, list | dict | set):
        permitted = [word for values in OPTIONS.get(name, UNKNOWN).values or () for word in _listed(values)]
        value = [word for word in value if word not in permitted] or value
    spellings = _spellings(config).get(name, {"path": True})
    spelling, place = next(_spellings_given(config, spellings), (next(iter(spellings)), ""))
    return f"{spelling} {_shown(value)}{place}" if spellings[spelling] else f"{spelling}{place}"


def _spellings_given(config: pytest.Config, spellings: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The spellings that stand somewhere, and where: the last word counts, so the command line comes first."""
    places: list[tuple[Sequence[str], str]] = [
        (config.invocation_params.args, ""),
        (shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), " (in PYTEST_ADDOPTS)"),
    ]
    for words, place in places:
        for word in words:
            for spelling in spellings:
                if word.partition("=")[0] == spelling or (not spelling.startswith("--") and word.startswith(spelling)):
                    yield spelling, place


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _shown(value: object) -> str:
    return " ".join(str(item) for item in value) or "(empty)" if isinstance(value, list | dict | set) else str(value)


def _plugins(config: pytest.Config) -> Iterator[str]:
    """Active plug-ins that are neither pytest's, nor of a needed or listed distribution, nor a conftest.py of suites/."""
    manager = config.pluginmanager
    distributions = {id(plugin): str(dist.metadata["Name"]) for plugin, dist in manager.list_plugin_distinfo()}
    listed = config.stash.get(LISTED, frozenset())
    modules, packages = set(), set()
    for plugin in manager.get_plugins():
        module, distribution = _module_of(plugin), distributions.get(id(plugin), "")
        if distribution in PLUGINS:
            modules.add(module)
        elif comparable(distribution) in listed:
            packages.add(module.partition(".")[0])  # its other modules may join as plug-ins of their own
    for name, plugin in manager.list_name_plugin():
        module, distribution = _module_of(plugin), distributions.get(id(plugin), "")
        package = module.partition(".")[0]
        if plugin is None or module in modules or package in packages:
            continue
        if distribution:
            permitted = f"permitted are {', '.join(PLUGINS)}, and what deploy.yaml lists under plugins:"
            yield f"plug-in {distribution} (installed, active): {UNKNOWN.reason}; {permitted}"
        elif isinstance(plugin, ModuleType):
            yield from _plugin_module(name, plugin, Path(config.rootpath))
        elif package != "_pytest":
            yield f"plug-in object of {module}.{type(plugin).__qualname__}: {UNKNOWN.reason}"


def _module_of(plugin: object) -> str:
    return plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__


def _plugin_module(name: str, plugin: ModuleType, root: Path) -> Iterator[str]:
    if Path(name).name == "conftest.py":
        if not Path(name).is_relative_to(root / "suites"):
            yield f"{name}: only the conftest.py of suites/ may take part"
    elif not (name in BUILTIN and plugin.__name__ == f"_pytest.{name}"):
        yield f"plug-in {name}: {UNKNOWN.reason}; it comes from -p, PYTEST_PLUGINS or a conftest.py's pytest_plugins"
