"""What is shown of a revision's output beside a failed step, and where it stands in the step's message."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pytest_deploy.platform.protocol import LastOutput
from pytest_deploy.plugin.service_output import TITLE, _shown, told

SAID = LastOutput(("first", "last"), ".deploy/platform/local/parcels/logs/parcels-00002-abc.log")
NOTHING = LastOutput((), "Cloud Logging, `gcloud logging read x`")


def report(when: str, *sections: tuple[str, str]) -> pytest.TestReport:
    made = pytest.TestReport("a", ("a", 0, "a"), {}, "failed", None, cast("Any", when))
    made.sections = [("Captured stdout call", "its own"), *sections]
    return made


def test_the_lines_are_shown_with_where_all_of_them_lie() -> None:
    assert _shown(SAID, held_back=False) == f"first\nlast\n(the end of {SAID.place})"


def test_where_rows_may_be_subjects_the_lines_are_held_back() -> None:
    assert _shown(SAID, held_back=True) == (
        f"its last lines are held back, for they may hold a subject's data; they lie in {SAID.place}"
    )


@pytest.mark.parametrize("held_back", [False, True])
def test_where_none_is_read_the_place_is_told(held_back: Any) -> None:
    assert _shown(NOTHING, held_back=held_back) == ("no line is read here; see Cloud Logging, `gcloud logging read x`")


def test_of_too_many_the_last_are_kept() -> None:
    lines = tuple(f"{n:02} {'ü' * 250}" for n in range(20))

    shown = _shown(LastOutput(lines, "there"), held_back=False).splitlines()

    assert shown == [lines[-1], "(the end of there)"]


def test_a_step_that_failed_twice_tells_it_once_and_one_without_it_nothing() -> None:
    reports = [report("call", (f"{TITLE} (r)", "one")), report("teardown", (f"{TITLE} (r)", "two"))]

    assert told(reports) == f"\n{TITLE} (r):\none"
    assert told([report("call")]) == ""
