"""A whole deployment that ends oddly after it changed something: undone and exit as decided, or `recover` named and enough."""

from __future__ import annotations

import os
import shlex
import signal
import sys

import pytest

from tests.project_checkout import QUICK, Checkout
from tests.stories.held_steps import hold_up
from tests.stories.step_ids import HEALTH, REVISION
from tests.stories.story_assertions import Deployed

pytestmark = pytest.mark.faults

BOTH = pytest.mark.parametrize("workers", [pytest.param((), id="alone"), pytest.param(("-n", "2"), id="workers")])
AFTER_ITS_WORK = """

@pytest.fixture(autouse=True)
def ends_oddly(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if request.node.nodeid == {step!r}:
        {act}
"""
READER_GOES = "{} | head -12; exit ${{PIPESTATUS[0]}}"


def after_its_work(checkout: Checkout, step: str, act: str) -> None:
    """Let something happen when a step has done its work."""
    conftest = checkout.path / "suites" / "conftest.py"
    text = conftest.read_text(encoding="utf-8")
    head, _, rest = text.partition("from collections.abc import Callable\n")
    imports = "import os\nimport time\nfrom collections.abc import Callable, Iterator\n"
    conftest.write_text(head + imports + rest + AFTER_ITS_WORK.format(step=step, act=act), encoding="utf-8")
    checkout.commit("A step that ends oddly")


@BOTH
@pytest.mark.parametrize("fault", [False, True], ids=["sound", "faulty"])
def test_a_reader_that_goes_away_changes_nothing_of_the_end(
    deployed: Deployed, workers: tuple[str, ...], *, fault: bool
) -> None:
    checkout = deployed.checkout
    checkout.commit("The next release")
    settings = ("--deploy-set=service.env.FAULT=crud",) if fault else ()
    line = shlex.join([sys.executable, "-m", "pytest", "--deploy-env=local", *QUICK, *settings, *workers])

    ran = checkout.begin("bash", "-c", READER_GOES.format(line)).wait()

    if fault:
        deployed.assert_rolled_back(ran)
    else:
        assert (ran.code, checkout.decided()["outcome"]) == (0, "deployed"), ran.said
        checkout.assert_nothing_runs()
        deployed.standing = checkout.standing()


def test_a_process_that_exits_with_0_after_a_change_needs_recover_which_undoes_it(deployed: Deployed) -> None:
    checkout = deployed.checkout
    after_its_work(checkout, REVISION, "os._exit(0)")

    ran = checkout.deploy()

    assert ran.code == 20, ran.said
    assert "it exited with 0" in ran.stderr
    assert ran.stderr.rstrip().endswith("deploy.py recover local`")
    checkout.assert_nothing_runs()
    recovered = checkout.deploy_py("recover", "local")
    assert recovered.code == 0, recovered.said
    assert checkout.decided()["outcome"] == "rolled-back"
    assert checkout.standing() == deployed.standing


@BOTH
def test_a_tear_down_that_hangs_after_a_failure_is_stopped_and_the_run_undone(
    deployed: Deployed, workers: tuple[str, ...]
) -> None:
    checkout = deployed.checkout
    after_its_work(checkout, HEALTH, "time.sleep(600)")

    ran = checkout.deploy(
        *workers, "--deploy-set=service.env.FAULT=crud", "--deploy-set=step_timeout_s=15", timeout=240
    )

    deployed.assert_rolled_back(ran)


def test_a_database_that_dies_is_a_rollback_that_failed_and_says_so(checkout: Checkout) -> None:
    """What serves is asked only to be printed: that nobody answers changes no exit code."""
    held = hold_up(checkout, HEALTH, "before", seconds=2)

    run = checkout.start_deploy()
    held.until_there(run)
    postmaster = checkout.places.postgres / "data" / "postmaster.pid"
    os.kill(int(postmaster.read_text(encoding="utf-8").split()[0]), signal.SIGQUIT)
    ran = run.wait(240)

    assert ran.code == 20, ran.said
    assert checkout.decided()["outcome"] == "rollback-failed"
    assert "rollback-failed in " in ran.stdout
    assert "serving   not known: " in ran.stdout
    assert len(checkout.said("run.closed")) == 1


HELD_BY_ALL = """

@pytest.fixture(scope="session")
def held_by_all() -> int:
    {act}
    return 1


@pytest.fixture(autouse=True)
def needs_it(request: pytest.FixtureRequest) -> None:
    if request.node.nodeid.startswith({step!r}):
        request.getfixturevalue("held_by_all")
"""


@pytest.mark.parametrize(
    "act, code",
    [
        pytest.param("os.kill(os.getpid(), 15)", 2, id="signal"),
        pytest.param("raise ConnectionError('the candidate is faulty')", 1, id="failure"),
    ],
)
@BOTH
def test_a_fixture_of_the_session_that_was_broken_off_is_set_up_anew_for_the_rollback(
    deployed: Deployed, workers: tuple[str, ...], act: str, code: int
) -> None:
    checkout = deployed.checkout
    marker = str(checkout.path.parent / f"once-{len(checkout.runs())}")
    once = f"if not os.path.exists({marker!r}):\n        open({marker!r}, 'x').close()\n        {act}"
    conftest = checkout.path / "suites" / "conftest.py"
    text = conftest.read_text(encoding="utf-8")
    head, _, rest = text.partition("from collections.abc import Callable\n")
    held = HELD_BY_ALL.format(act=once, step=HEALTH)
    conftest.write_text(head + "import os\nfrom collections.abc import Callable\n" + rest + held, encoding="utf-8")
    checkout.commit("A fixture that is broken off once")

    ran = checkout.deploy(*workers)

    deployed.assert_rolled_back(ran, code=code)
