"""replaced_steps of deploy.yaml: which standard steps can be replaced, and what an entry must say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import ConfigurationError
from pytest_deploy.policy.load import load
from tests.unit.policy.sample_policy import BASE, written

IN_TIME = "pytest_deploy/suites/smoke/test_database.py::test_query_answers_in_time"
OWN = "suites/smoke/test_pool.py::test_pool_answers_in_time"
REASON = "connections come from a pool"


def entry(nodeid: str = IN_TIME, by: str = OWN, reason: str = REASON) -> str:
    return f"{BASE}    replaced_steps:\n      {nodeid}:\n        by: {by}\n        reason: {reason}\n"


def test_a_standard_smoke_step_is_replaced_by_an_own_one_and_a_reason(tmp_path: Path) -> None:
    (named,) = load(written(tmp_path, entry()), "local").replaced_steps.items()
    assert (named[0], named[1].by, named[1].reason) == (IN_TIME, OWN, REASON)


@pytest.mark.parametrize(
    "text, problem",
    [
        (entry(nodeid="suites/smoke/test_a.py::test_b"), "is no standard step"),
        (entry(nodeid="pytest_deploy/suites/smoke"), "is no standard step"),
        (entry(nodeid=IN_TIME.replace("smoke/", "preflight/")), "a standard step of preflight cannot be replaced"),
        (entry(nodeid=IN_TIME.replace("smoke/", "rollback/")), "a standard step of rollback cannot be replaced"),
        (entry(nodeid=IN_TIME.replace("smoke/", "smoke/../traffic/")), "is no standard step"),
        (entry(by=IN_TIME), "by"),
        (entry(reason="because"), "reason"),
        (entry(reason="''"), "reason"),
    ],
    ids=["an own step", "a folder", "a gate", "the rollback", "a way round", "by a standard one", "no sentence", "no reason"],
)  # fmt: skip
def test_what_permits_changes_or_undoes_stays_and_an_entry_says_by_what_and_why(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load(written(tmp_path, text), "local")


def test_a_policy_without_an_entry_has_the_digest_that_it_had_before_there_was_the_key(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    without, with_ = load(written(tmp_path), "local"), load(written(tmp_path / "other", entry()), "local")

    assert b"replaced_steps" not in without.canonical()
    assert b"replaced_steps" in with_.canonical()
    assert without.digest() != with_.digest()
