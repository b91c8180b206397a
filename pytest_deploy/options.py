"""The command line's options, all of them, and what they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_deploy.config.phases import PIPELINES

BUILT = ("deploy", "smoke")
"""The pipelines this version runs."""

if TYPE_CHECKING:
    from pytest_deploy.phase.context import RunContext


def add(parser: pytest.Parser) -> None:
    """Declare the options of design 1 that this version carries."""
    group = parser.getgroup("deploy", "deployments (inert without --deploy-env)")
    group.addoption("--deploy-env", metavar="ENV", help="deploy to this environment of deploy.yaml")
    group.addoption(
        "--deploy-pipeline",
        metavar="PIPELINE",
        choices=tuple(PIPELINES),
        default="deploy",
        help=f"what to run there: {', '.join(PIPELINES)} (default: deploy)",
    )
    group.addoption(
        "--deploy-set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one value of the policy, embedded platform only, recorded; e.g. service.env.FAULT=login",
    )
    group.addoption("--deploy-reason", metavar="TEXT", default="", help="why; goes into the record")


def asked(config: pytest.Config) -> bool:
    """Whether this is a deployment: an environment is named, and not only help or the version is to be shown."""
    option = config.option
    # Typed, not slipped in by PYTEST_ADDOPTS: a run that only shows its help must not pass for a deployment.
    shown = {"-h", "--help", "-V", "-VV", "--version"} & set(map(str, config.invocation_params.args))
    return option.deploy_env is not None and not shown


def context(config: pytest.Config) -> RunContext | None:
    """What was asked for, or None where this is no deployment. Raises pytest.UsageError for --deploy-* without an ENV."""
    option = config.option
    if not asked(config):
        unheard = option.deploy_set or option.deploy_reason or option.deploy_pipeline != "deploy"
        if option.deploy_env is None and unheard:
            raise pytest.UsageError(
                "--deploy-set, --deploy-reason and --deploy-pipeline belong to a deployment: add --deploy-env=ENV"
            )
        return None
    from pytest_deploy.phase.context import RunContext

    if option.deploy_pipeline not in BUILT:
        raise pytest.UsageError(
            f"--deploy-pipeline={option.deploy_pipeline}: this version runs {' and '.join(BUILT)}; the others are named in the "
            "design and not built yet"
        )
    return RunContext(
        root=str(Path(config.rootpath)),
        environment=option.deploy_env,
        pipeline=option.deploy_pipeline,
        sets=tuple(option.deploy_set),
        reason=option.deploy_reason,
    )
