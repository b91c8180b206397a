"""Two hundred step files from seeds: no failure goes unseen with exit 0, and no run is left that `recover` cannot finish."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.project_checkout import Checkout
from tests.stories.one_step_checkout import one_step_checkout
from tests.stories.random_steps import step_files

RUNS, FILES_A_RUN = 40, 5
NOTHING_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def one_step(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    with one_step_checkout(tmp_path_factory.mktemp("random")) as made:
        yield made


def seeds() -> Iterator[Any]:
    """All, and of them one whose five files are the sample of every day."""
    yield 0
    yield from (pytest.param(seed, marks=pytest.mark.faults) for seed in range(1, RUNS))


@pytest.mark.parametrize("seed", [*seeds()])
def test_no_failure_goes_unseen_and_no_run_stays_open(one_step: Checkout, seed: int) -> None:
    files = step_files(seed, FILES_A_RUN)
    for stale in (one_step.path / "suites" / "smoke").glob("test_*.py"):
        stale.unlink()
    for number, file in enumerate(files):
        one_step.write(f"suites/smoke/test_{number}.py", file.text)
    written = one_step.deploy_py("steps", "--write")
    assert written.code == 0, written.said
    workers = ("-n", "2") if seed % 2 else ()

    ran = one_step.run("--deploy-env=local", "--deploy-pipeline=smoke", *workers, timeout=400)

    # 1. Exit 0 where nothing failed, and only there.
    acts = [act for file in files for act in file.acts]
    assert (ran.code == 0) == all(act.passes for act in acts), f"{acts}\n{ran.said}"
    assert ran.code in {0, 1, 20}, ran.said
    assert ran.code != 20 or any(act.deadly for act in acts), ran.said
    # 2. Every failure that was reached is in the record, by the step that failed.
    one_step.assert_nothing_runs(NOTHING_WITHIN_S)
    if ran.code == 20:
        recovered = one_step.deploy_py("recover", "local")
        assert recovered.code == 0, recovered.said
        assert one_step.said("run.abandoned") != []
    else:
        ended = one_step.step_outcomes()
        for number, file in enumerate(files):
            for n, act in enumerate(file.acts):
                name = f"suites/smoke/test_{number}.py::test_{n}"
                found = {outcome for nodeid, outcome in ended.items() if nodeid.partition("[")[0] == name}
                assert found, name
                assert "passed" not in found or act.passes, f"{name}: {act}\n{ran.said}"
        assert len(one_step.said("run.closed")) == 1


def test_the_record_of_all_of_them_verifies(one_step: Checkout) -> None:
    verified = one_step.deploy_py("verify", "reports/local")

    assert verified.code == 0, verified.said
