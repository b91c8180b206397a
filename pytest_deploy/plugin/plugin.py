"""The pytest edge. Inert until --deploy-env is given; then it registers a few named objects and steps aside."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_deploy.plugin import options

if TYPE_CHECKING:
    from pytest_deploy.plugin.guard import GuardChannel

GUARD_CHANNEL: pytest.StashKey[GuardChannel] = pytest.StashKey()
"""What this session tells its guard; absent where there is none: in xdist's workers, and where nothing is deployed."""

_TAKE_OUT = frozenset({f"no:{__name__}", f"no:{__name__.removeprefix('pytest_')}"})
"""What takes this plug-in out after `-p` brought it in: with NAME pytest takes out `pytest_NAME`."""

MARKERS = (
    "requirement(assertion, environment=NAMES): an assertion of the specification that the step can exercise, e.g. REQ-o00043-K; environment: where it counts",
    "step(changes=False, timeout=SECONDS, when=WHEN, rollback=False): whether it changes the environment, how long it may take, when it runs, whether a smoke step runs again in a rollback",
)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the options. In a deployment keep out the plug-ins that it does not need, before pytest loads them.

    PYTEST_PLUGINS is refused before pytest imports what it names, which could end the process with 0.
    """
    options.add(parser)
    config = pluginmanager.get_plugin("pytestconfig")
    if config is None:
        return
    for name in getattr(getattr(config, "known_args_namespace", None), "plugins", ()):
        if name.strip() in _TAKE_OUT:
            from pytest_deploy.plugin import kept_out

            kept_out.refuse_to_be_taken_out(config, parser, name)
    if options.is_typed(config.invocation_params.args):
        from pytest_deploy.errors import DeployError
        from pytest_deploy.plugin import configuration, kept_out
        from pytest_deploy.program import as_called

        if os.environ.get("PYTEST_PLUGINS", "").strip():
            _refuse_options()
        try:
            configuration.require(config)
        except DeployError as refused:
            raise pytest.UsageError(as_called(str(refused))) from None
        kept_out.keep_out(config, parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_deploy.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None]:
    """Before pytest catches output and imports a conftest: from here on a deployment is a child of its guard.

    It collects suites/ and nothing else; so the conftests loaded first are the suites' own.
    """
    parsed = early_config.known_args_namespace
    if parsed.deploy_env is not None:
        from pytest_deploy.plugin import configuration, kept_out
        from pytest_deploy.program import called

        called()  # what was handed down is taken out of the environment before a step could see it
        kept_out.refuse_unknown_options(early_config, parser, args)
        if (root := str(early_config.rootpath)) not in sys.path:
            sys.path.insert(0, root)  # steps import the checkout's own modules
        parsed.file_or_dir = [configuration.suites_of(early_config)]
        if options.is_guarded(early_config):
            from pytest_deploy.plugin import committed, guard

            try:
                committed.require(early_config)
            except pytest.UsageError as refused:
                _say_as_called(refused)
                raise
            early_config.stash[GUARD_CHANNEL] = guard.started_by() or guard.start()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Before any plug-in acts on its options: nothing may thin out a deployment. xdist's workers get what was judged."""
    guard_channel = config.stash.get(GUARD_CHANNEL, None)
    code: object = None
    try:
        if options.is_deployment(config) and not hasattr(config, "workerinput"):
            # This plug-in, named by -p, is loaded anyway.
            config.option.plugins = [name for name in config.option.plugins if name != __name__]
            _refuse_options(config)
        code = yield
    except pytest.UsageError as refused:
        code = pytest.ExitCode.USAGE_ERROR
        if options.is_deployment(config):
            _say_as_called(refused)
        raise
    finally:
        if guard_channel is not None:
            guard_channel.report_finished(code)
    return code


def _say_as_called(refused: pytest.UsageError) -> None:
    """What pytest prints of a refusal tells commands that can be pasted."""
    from pytest_deploy.program import as_called

    refused.args = tuple(as_called(str(text)) for text in refused.args)


def _refuse_options(config: pytest.Config | None = None) -> None:
    """Raise pytest.UsageError, which pytest prints, and exits 4. `config`: None where pytest has none yet."""
    from pytest_deploy.errors import OptionRefused
    from pytest_deploy.plugin import option_policy

    try:
        option_policy.refuse(config) if config is not None else option_policy.refuse_variables(os.environ)
    except OptionRefused as refused:
        raise pytest.UsageError(str(refused)) from None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A project's own test run takes in no step of a deployment, whose fixtures it has not; one that is named is collected."""
    if config.option.deploy_env is not None or collection_path.name != "suites":
        return None
    is_suites = (collection_path / "steps.lock").is_file() and (collection_path.parent / "deploy.yaml").is_file()
    return True if is_suites else None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers; begin a deployment where one is asked for."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    context = options.run_context(config)
    if context is not None:
        from pytest_deploy.plugin import session

        session.begin(config, context, config.stash.get(GUARD_CHANNEL, None))
