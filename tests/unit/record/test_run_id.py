from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_deploy.record.run_id import named_at, new_run_id, recover_command, workspace_of
from pytest_deploy.workspace import Workspace
from tests.unit.record.sample_record import HandClock


@pytest.mark.parametrize("rehearsal", [False, True])
def test_a_run_is_named_after_its_environment_and_the_second_of_its_birth(rehearsal: bool) -> None:  # noqa: FBT001
    run = new_run_id("production", HandClock(), rehearsal=rehearsal)

    assert run.removeprefix("rehearsal-")[:-4] == "production-20261122T120000Z-"
    assert rehearsal == run.startswith("rehearsal-")
    assert named_at(run) == datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_two_runs_of_one_second_differ() -> None:
    clock = HandClock()

    assert len({new_run_id("local", clock) for _ in range(5)}) > 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-",
        "local",
        "local-20261122T120000Z",
        "local-20261322T120000Z-aaaa",
        "../x-20261122T120000Z-aaaa",
        "a-20261122T120000Z-AAAA",
    ],
)
def test_any_other_name_is_no_run(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        named_at(name)


@pytest.mark.parametrize(
    "run, place, recover",
    [
        ("local-20261122T201500Z-4f1c", Workspace(Path(), "local"), "pytest-deploy recover local"),
        (
            "rehearsal-sponsor-a-20261122T201500Z-4f1c",
            Workspace(Path(), "sponsor-a", rehearsal=True),
            "pytest-deploy recover sponsor-a --rehearse",
        ),
    ],
)
def test_a_runs_name_says_where_its_record_lies_and_what_finishes_it(run: str, place: Workspace, recover: str) -> None:
    assert workspace_of(run) == place
    assert recover_command(run) == recover
