"""A refusal's traceback ends in the step; any other error keeps its own."""

from __future__ import annotations

import traceback
from typing import cast

import pytest

from pytest_deploy.errors import Failed, RecordError, Refused, UsageError
from pytest_deploy.platform.environment import Environment
from pytest_deploy.plugin.step_reports import REPORT_BYTES, StepReports, _end_at_the_step

STEP = "def test_step(ask):\n    ask()\n"


def raised(error: Exception, file: str) -> list[str]:
    """The functions of the error's traceback, after it was raised below a step of that file and handed on."""

    def ask() -> None:
        raise error from OSError("a socket")

    scope: dict[str, object] = {}
    exec(compile(STEP, file, "exec"), scope)  # noqa: S102 - the step's own file decides
    with pytest.raises(type(error)) as caught:
        scope["test_step"](ask)  # type: ignore[operator]
    _end_at_the_step(caught.value)
    return [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


@pytest.mark.parametrize("kind", [Refused, Failed, UsageError])
def test_what_says_what_to_do_ends_in_the_step(kind: type[Exception]) -> None:
    error = kind("mend it")

    assert raised(error, "/checkout/suites/smoke/test_own.py")[-1] == "test_step"
    assert error.__cause__ is None
    assert error.__suppress_context__


@pytest.mark.parametrize(
    "error, file",
    [
        (ValueError("a fault of the step"), "/checkout/suites/smoke/test_own.py"),
        (RecordError("an internal error"), "/checkout/suites/smoke/test_own.py"),
        (Refused("outside of any step"), "/checkout/tools/other.py"),
    ],
)
def test_any_other_error_keeps_its_traceback_and_its_cause(error: Exception, file: str) -> None:
    assert raised(error, file)[-1] == "ask"
    assert isinstance(error.__cause__, OSError)


class Plain:
    """An environment without secrets."""

    def redact(self, text: str) -> str:
        assert len(text) <= REPORT_BYTES + 300, "what is too long is cut before it is searched"
        return text


def test_what_a_step_printed_and_raised_is_cut_before_any_writer_reads_it() -> None:
    report = pytest.TestReport("a", ("a", 0, "a"), {}, "failed", "x" * 20_000_000, "call")
    report.sections = [("Captured stdout call", "y" * 20_000_000)]

    StepReports(cast("Environment", Plain()))._cut(report)

    for text in (report.longreprtext, report.capstdout):
        assert len(text) < REPORT_BYTES + 300
        assert "of 20,000,000 bytes cut; SHA-256 of all: " in text
