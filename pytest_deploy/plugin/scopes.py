"""Where fixtures of wider scopes end: with the last step that runs in their scope, so that their errors are that step's.

pytest ends them when the next item no longer needs them. In a deployment the next item may never run: the rollback's
steps after a run that went well, or what a failure left out. Its tear-down is nobody's, and comes after the decision.
The rollback's steps set theirs up anew: what the run left may be a client of the release that is being undone, or failed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_deploy.pipeline.sequence import ROLLBACK
from pytest_deploy.plugin.collection import STEP
from pytest_deploy.plugin.recorder import StepRecorder

Following = Callable[[pytest.Item, pytest.Item | None, bool], pytest.Item | None]
"""The item that runs after this one: given pytest's next one, and whether this one went well so far."""


def whatever_is_next(item: pytest.Item, nextitem: pytest.Item | None, passing: bool) -> pytest.Item | None:  # noqa: ARG001, FBT001 -- as the type above has it
    """In a worker, which is given only what is to run."""
    return nextitem


class Scopes:
    """Ends, with each step, what no later one needs."""

    def __init__(self, recorder: StepRecorder, following: Following = whatever_is_next) -> None:
        self._recorder = recorder
        self._following = following

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Before pytest's own, which then finds nothing more to end."""
        __tracebackhide__ = True
        passing = self._recorder.passing(item)
        following = nextitem if passing is None else self._following(item, nextitem, passing)
        if following is not None and following.stash[STEP].phase == ROLLBACK != item.stash[STEP].phase:
            following = None
        item.session._setupstate.teardown_exact(following)  # noqa: SLF001 -- there is no other way in
