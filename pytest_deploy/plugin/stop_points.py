"""Where a step may be stopped: in its own code, never in what pytest does around it.

An exception that lands in pytest's own set-up (a signal's, a time limit's) leaves that torn: a fixture that was begun and
never entered cannot be set up again, and the rollback's steps, which need it, would fail in it.
"""

from __future__ import annotations

from types import FrameType

_AROUND = ("_pytest.", "pluggy.", "pytest_deploy.plugin.")
_STEPS_OWN = "pytest_deploy.plugin.fixtures"
"""Of our part of pytest, what steps call."""
_ENTERS = frozenset({
    "call_fixture_func", "pytest_pyfunc_call", "runtest", "pytest_runtest_call",
    "_teardown_yield_fixture", "finish", "teardown_exact",
    "raises", "warns", "deprecated_call",
})  # fmt: skip
"""Where pytest calls what is not its own: a fixture, its tear-down, a test function, an item of another kind."""
_CALLS_A_HOOK = ("_pytest.runner", "<lambda>")


def is_stop_point(frame: FrameType | None) -> bool:
    """Whether code of a step runs in this frame (or a hook of the project's, unless pytest calls it to set a fixture up)."""
    entered = False
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith(_AROUND) or module == _STEPS_OWN:
            entered = True
        elif not entered:
            return False
        elif module.startswith("_pytest."):
            return frame.f_code.co_name in _ENTERS or (module, frame.f_code.co_name) == _CALLS_A_HOOK
        frame = frame.f_back
    return False
