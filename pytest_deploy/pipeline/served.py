"""What serves is read once more before a release is called deployed: people and other programs move traffic, too."""

from __future__ import annotations

import time
from typing import Final

from pytest_deploy.errors import DeployError, PlatformUnavailable
from pytest_deploy.pipeline.run import Run
from pytest_deploy.pipeline.sequence import Cause
from pytest_deploy.platform.protocol import Runtime
from pytest_deploy.record.events import AlertRaised
from pytest_deploy.release import live
from pytest_deploy.release.live import Release
from pytest_deploy.release.request import PIPELINE

_ASKED_AGAIN_AFTER_S: Final = (0.5, 2.0, 5.0)
"""Seconds until a platform that did not answer is asked again: one unanswered question undoes no release."""


def require_served(run: Run) -> None:
    """Overrule a deployment that went well and whose release does not serve alone, by what the platform reports now.

    What it changed is undone then. A run that is decided, or closed for another cause, stays what it is.
    """
    if run.context.pipeline != PIPELINE or run.decided or run.sequence.closed is not None:
        return
    try:
        release = live.expected(
            run.events(), run.context.workspace.run_folder(run.context.run), run.environment.platform
        )
        fault = _fault(run.environment.platform.runtime, release)
    except DeployError as error:
        fault = f"what serves cannot be read: {error}"
    if fault:
        run.append(AlertRaised(alert="serving", detail=run.environment.redact(fault)))
        run.overrule(Cause("step", fault, "what serves is not what was deployed"))


def _fault(runtime: Runtime, release: Release) -> str:
    for pause_s in (*_ASKED_AGAIN_AFTER_S, None):
        try:
            state = runtime.state()
            found = {share.revision: share.percent for share in state.shares if share.percent}
            digests = {name: runtime.revision(name).digest for name in found}
        except PlatformUnavailable:
            if pause_s is None:
                raise
            time.sleep(pause_s)
            continue
        break
    serves = ", ".join(f"{name} {percent} %" for name, percent in found.items()) or "nothing"
    if found != {release.revision: 100}:
        return f"all steps passed, and then {serves} serves, not {release.revision} alone: somebody else moved traffic"
    if digests[release.revision] != release.digest:
        return f"{release.revision} serves {digests[release.revision]}, and {release.digest} was deployed"
    return (
        "" if state.settled else f"{serves} serves, and the platform is asked for something else: somebody changes it"
    )
