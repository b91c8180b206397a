"""One question of each kind that history answers, put to a generated record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from pytest_deploy.history.runs import RunQuery
from pytest_deploy.record.clock import stamp
from tests.scale.generated_record import BEGINS, EVERY

MIDDLE: Final = 0.5
"""Where in the record what is asked for lies, as a share of its runs."""


def questions(runs: int) -> Mapping[str, RunQuery]:
    """By kind; each is one that some runs answer to."""
    number = int(runs * MIDDLE) // 20 * 20 + 5  # a run that was approved and migrated
    began = BEGINS + EVERY * number
    return {
        "every run": RunQuery(),
        "a date range": RunQuery(since=stamp(began), until=stamp(began + timedelta(days=1))),
        "a commit": RunQuery(commit="ab"),
        "a digest": RunQuery(digest="sha256:ab"),
        "a version": RunQuery(version=f"1.{number // 100}.{number % 100}"),
        "a deployer": RunQuery(deployer="dora3"),
        "an approver": RunQuery(approver="quinn"),
        "an outcome": RunQuery(outcomes=("rolled-back", "refused")),
        "what nobody has reviewed": RunQuery(unreviewed=True),
        "a pipeline": RunQuery(pipelines=("plan",)),
        "a migration": RunQuery(migration=f"{number:06d}"),
        "a requirement": RunQuery(requirement=f"REQ-o{number % 977:05d}"),
        "all of them at once": RunQuery(
            since=stamp(began - timedelta(days=1)),
            until=stamp(began + timedelta(days=1)),
            deployer="dora",
            approver="quinn",
            outcomes=("deployed",),
            pipelines=("deploy",),
            migration=f"{number:06d}",
            requirement=f"REQ-o{number % 977:05d}-{'ABCDE'[number % 5]}",
        ),
    }
