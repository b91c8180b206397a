"""Where fixtures of wider scopes end: with the last step that runs in their scope, so that their errors are that step's.

pytest ends them when the next item no longer needs them. In a deployment the next item may never run: the rollback's
steps after a run that went well, or what a failure left out. Its tear-down is nobody's, and comes after the decision.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_deploy.pipeline.sequence import ROLLBACK
from pytest_deploy.plugin.collection import STEP
from pytest_deploy.plugin.recorder import StepRecorder

Following = Callable[[pytest.Item, pytest.Item | None, bool], pytest.Item | None]
"""The item that runs after this one: given pytest's next one, and whether this one went well so far."""


def before_rollback(item: pytest.Item, nextitem: pytest.Item | None, passing: bool) -> pytest.Item | None:  # noqa: FBT001 -- as the type above has it
    """In a worker: after a step that went well no step of a rollback comes; where one does, its fixtures are set up anew."""
    ends = passing and nextitem is not None and nextitem.stash[STEP].phase == ROLLBACK != item.stash[STEP].phase
    return None if ends else nextitem


class Scopes:
    """Ends, with each step, what no later one needs."""

    def __init__(self, recorder: StepRecorder, following: Following = before_rollback) -> None:
        self._recorder = recorder
        self._following = following

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Before pytest's own, which then finds nothing more to end."""
        __tracebackhide__ = True
        passing = self._recorder.passing(item)
        if passing is not None:
            item.session._setupstate.teardown_exact(self._following(item, nextitem, passing))  # noqa: SLF001 -- there is no other way in
