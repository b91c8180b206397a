"""The command line's options, all of them, and what they ask for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_deploy.policy.phases import PIPELINES
from pytest_deploy.record.plain_text import NOT_PLAIN, is_plain

_SHOWS = frozenset({"-h", "--help", "-V", "-VV", "--version"})
IMPLEMENTED_PIPELINES = ("deploy", "plan", "smoke", "rollback")
"""The pipelines this version runs."""

if TYPE_CHECKING:
    from pytest_deploy.policy.run_context import RunContext
    from pytest_deploy.workspace import Workspace


def _said(text: str) -> str:
    """A value that says something. An input that nobody filled in, or a variable that is not set, arrives as an empty one."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty: give a value, or leave the option out")
    return text


def add(parser: pytest.Parser) -> None:
    group = parser.getgroup("deploy", "deployments (inert without --deploy-env)")
    group.addoption("--deploy-env", metavar="ENV", type=_said, help="deploy to this environment of deploy.yaml")
    group.addoption(
        "--deploy-config",
        metavar="PATH",
        type=_said,
        default=None,
        help="the deploy.yaml that is meant (default: the next one, in this folder or above)",
    )
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
        type=_said,
        action="append",
        default=[],
        help="change one value of the policy, embedded platform only, recorded; e.g. service.env.FAULT=login",
    )
    group.addoption(
        "--deploy-run", metavar="RUN", type=_said, help="the approved request to execute, as the plan named it"
    )
    group.addoption(
        "--deploy-rehearse",
        action="store_true",
        help="ENV's own policy on the embedded platform, recorded apart under reports/rehearsal/",
    )
    group.addoption(
        "--deploy-at",
        metavar="INSTANT",
        type=_said,
        help="rehearsals only: set the clock of gates and expiry, e.g. 2026-11-23T15:00:00Z; it goes on running",
    )
    group.addoption(
        "--deploy-to",
        metavar="VERSION",
        type=_said,
        default=None,
        help="with --deploy-pipeline=rollback, or a plan of one: the version to go back to, the run that deployed it, or `earlier`, the release before (default)",
    )
    group.addoption("--deploy-reason", metavar="TEXT", default="", help="why; goes into the request and the record")
    group.addoption(
        "--deploy-ticket", metavar="ID", default="", help="the ticket; goes into the request and the record"
    )


def is_deployment(config: pytest.Config) -> bool:
    """Whether this is a deployment: an environment is named, and not only help or the version is to be shown."""
    return config.option.deploy_env is not None and not _only_shows(config)


def is_typed(words: Sequence[object]) -> bool:
    """Whether a command line asks for a deployment, before anything has parsed it."""
    typed = [str(word) for word in words]
    return any(word.partition("=")[0] == "--deploy-env" for word in typed) and not _SHOWS & set(typed)


def runs_steps(words: Sequence[object]) -> bool:
    """Whether a command line asks for a deployment, and not only to be shown its steps."""
    return is_typed(words) and not {"--co", "--collect-only"} & set(map(str, words))


def is_guarded(early_config: pytest.Config) -> bool:
    """Whether steps will run here or in workers of this process: then it gets a guard. Asked before conftests are loaded."""
    known = early_config.known_args_namespace
    runs = known.deploy_env is not None and not known.collectonly and not _only_shows(early_config)
    return runs and "PYTEST_XDIST_WORKER" not in os.environ


def workspace_of(config: pytest.Config, known: argparse.Namespace) -> Workspace:
    """The checkout and the environment that are asked for, as far as the options are known."""
    from pytest_deploy.workspace import Workspace

    return Workspace(Path(config.rootpath), known.deploy_env, rehearsal=known.deploy_rehearse)


def _only_shows(config: pytest.Config) -> bool:
    # Typed, not slipped in by PYTEST_ADDOPTS: a run that only shows its help must not pass for a deployment.
    return bool(_SHOWS & set(map(str, config.invocation_params.args)))


def run_context(config: pytest.Config) -> RunContext | None:
    """What was asked for, or None where this is no deployment. Raises pytest.UsageError for --deploy-* without an ENV."""
    option = config.option
    if not is_deployment(config):
        given = {name: value for name, value in vars(option).items() if name.startswith("deploy_") and value}
        if option.deploy_env is None and given != {"deploy_pipeline": "deploy"}:
            raise pytest.UsageError("the --deploy-* options belong to a deployment: add --deploy-env=ENV")
        return None
    from pytest_deploy.policy.run_context import RunContext
    from pytest_deploy.workspace import Workspace

    if option.deploy_pipeline not in IMPLEMENTED_PIPELINES:
        raise pytest.UsageError(
            f"--deploy-pipeline={option.deploy_pipeline}: this version runs {' and '.join(IMPLEMENTED_PIPELINES)}; the others are named in the "
            "design and not built yet"
        )
    if option.deploy_to and option.deploy_pipeline not in {"rollback", "plan"}:
        raise pytest.UsageError(
            f"--deploy-to={option.deploy_to}: only a rollback goes back, or the plan of one: add --deploy-pipeline=rollback"
        )
    for name, text in (
        ("--deploy-reason", option.deploy_reason),
        ("--deploy-ticket", option.deploy_ticket),
        ("--deploy-to", option.deploy_to or ""),
    ):
        if not is_plain(text):
            raise pytest.UsageError(f"{name} {NOT_PLAIN}: write one line of plain text")
    return RunContext(
        workspace=Workspace(Path(config.rootpath), option.deploy_env, rehearsal=option.deploy_rehearse),
        pipeline=option.deploy_pipeline,
        sets=tuple(option.deploy_set),
        reason=option.deploy_reason,
        request=option.deploy_run or "",
        shift_s=_clock_shift_s(option),
        ticket=option.deploy_ticket,
        to=option.deploy_to or "",
    )


def _clock_shift_s(option: argparse.Namespace) -> float:
    """Seconds from the real clock to the one that was asked for."""
    if not option.deploy_at:
        return 0.0
    from datetime import UTC, datetime

    if not option.deploy_rehearse:
        raise pytest.UsageError(
            "--deploy-at is for rehearsals: a real deployment goes by the real clock; add --deploy-rehearse"
        )
    try:
        at = datetime.fromisoformat(option.deploy_at)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise pytest.UsageError(
            f"--deploy-at={option.deploy_at}: right is an instant with its zone, e.g. 2026-11-23T15:00:00Z"
        )
    return (at - datetime.now(UTC)).total_seconds()
