"""An environment goes back to an earlier release because somebody says so: traffic and schema, in a run of its own."""

from __future__ import annotations

import os
import signal

import pytest

from pytest_deploy.verify import verify
from tests.child_process import Ran
from tests.project_checkout import QUICK, Checkout
from tests.stories.checkout_changes import PARCEL
from tests.stories.held_steps import Place, hold_up
from tests.stories.step_ids import LED_BACK
from tests.stories.story_assertions import Deployed, assert_recovered_for_good, deploy_first

CLOCK = "pytest_deploy/suites/preflight/test_gates.py::test_clock"
WORKERS = ("-n", "2")
REPORTED_WRONG = """

def test_nobody_agrees() -> None:
    raise AssertionError("it is not as it was")
"""


def version_of(checkout: Checkout, run: str) -> str:
    return str(checkout.said("run.opened", run)[0]["version"])


def deploy_second(deployed: Deployed) -> str:
    """A second release with a migration whose way back loses rows; its version."""
    checkout = deployed.checkout
    checkout.write("migrations/0008_parcel.sql", PARCEL)
    checkout.commit("Parcels")
    ran = checkout.deploy()
    assert ran.code == 0, ran.said
    return version_of(checkout, checkout.last_run())


def roll_back(checkout: Checkout, *words: str, rest: tuple[str, ...] = ()) -> Ran:
    return checkout.deploy_py("rollback", "local", *words, "--", *QUICK, *rest)


def assert_verifies(checkout: Checkout) -> None:
    """The record verifies, by the program and by the script that lies beside it."""
    verified = checkout.deploy_py("verify", "reports/local")
    assert verified.code == 0, verified.said
    script = checkout.begin("bash", str(verify.__file__).replace("verify.py", "verify.sh"), "reports/local").wait()
    assert script.code == 0, script.said


def test_it_goes_back_to_the_release_that_is_named_and_forward_again(checkout: Checkout) -> None:
    deployed = deploy_first(checkout)  # of its own: what it leaves serves on
    base = deployed.standing
    first = version_of(checkout, deployed.first)
    second = deploy_second(deployed)
    later, with_second = checkout.last_run(), checkout.standing()

    # 1. What cannot be meant is refused by name, with what would be right, and nothing is written.
    events = len(checkout.events())
    for to, says in (("9.9.9", "knows no such release"), (second, "it serves already"), ("", "--to is empty")):
        refused = roll_back(checkout, "--to", to)
        assert refused.code == 4, refused.said
        assert says in refused.said
        assert not to or f"{first}  deployed" in refused.said
    assert len(checkout.events()) == events

    # 2. What is named serves again, on its schema, and the record says so.
    ran = roll_back(checkout, "--to", first, "--reason", "parcels hurt", "--ticket", "INC-7", rest=WORKERS)
    assert ran.code == 0, ran.said
    assert f"from {second}" in ran.stdout
    assert "undoes 0008_parcel.sql: its way back loses rows (parcels go with their table)" in ran.stdout
    assert checkout.standing() == base
    run = checkout.last_run()
    (opened,), (decided,) = checkout.said("run.opened"), checkout.said("run.decided")
    assert (opened["pipeline"], opened["version"], opened["ticket"]) == ("rollback", first, "INC-7")
    assert (decided["outcome"], decided["exit_code"], decided["cause"]) == ("rolled-back", 0, "")
    assert [told["version"] for told in checkout.said("migration.rolled-back")] == ["0008"]
    assert {told["gate"] for told in checkout.said("gate.passed") if told["point"] == "change"} == {"lease", "clock"}
    credited = {name for told in checkout.said("step.finished") for name in told["verifies"]}
    assert {"REQ-o00044-H", "REQ-o00044-P"} <= credited
    assert not {"REQ-o00043-I", "REQ-o00044-G"} & credited, "nothing went back by itself"
    assert_verifies(checkout)

    # 3. Whoever asks what serves, or what there was, is told.
    asked = checkout.deploy_py("history", "--as-of", "2999-01-01T00:00:00Z", "--env", "local")
    listed = checkout.deploy_py("history", "--env", "local", "--outcome", "rolled-back")
    assert asked.code == listed.code == 0
    assert first in asked.stdout
    assert second not in asked.stdout
    assert run in listed.stdout

    # 4. The second release needs what was taken back: it is not gone back to, and deployed again it serves.
    beyond = roll_back(checkout, "--to", later)
    assert beyond.code == 1, beyond.said
    assert "0008_parcel.sql: the release needs it, and it was taken back since" in beyond.said
    again = checkout.deploy()
    assert again.code == 0, again.said
    assert checkout.standing().schema_sha256 == with_second.schema_sha256

    assert_verifies(checkout)


@pytest.mark.faults
@pytest.mark.parametrize(
    "step, place, workers",
    [(LED_BACK, "before", ()), (LED_BACK, "after", WORKERS), (CLOCK, "after", ())],
    ids=["before the change", "after it, workers", "in preflight"],
)
def test_one_that_was_killed_is_finished_by_recover_and_what_had_not_begun_is_abandoned(
    deployed: Deployed, step: str, place: Place, workers: tuple[str, ...]
) -> None:
    checkout = deployed.checkout
    deploy_second(deployed)
    with_second = checkout.standing()
    held = hold_up(checkout, step, place)

    run = checkout.start(
        "--deploy-env=local", "--deploy-pipeline=rollback", f"--deploy-to={deployed.first}", *QUICK, *workers
    )
    held.until_there(run)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(10)
    recovered = checkout.deploy_py("recover", "local")

    assert recovered.code == 0, recovered.said
    if step == CLOCK:
        assert checkout.said("run.abandoned")
        assert checkout.standing() == with_second
        deployed.restore_tree()
        assert roll_back(checkout).code == 0
    else:
        assert checkout.decided()["outcome"] == "rolled-back"
    assert checkout.standing() == deployed.standing
    assert_recovered_for_good(deployed)


@pytest.mark.faults
def test_one_that_is_told_to_stop_once_it_has_begun_is_finished(deployed: Deployed) -> None:
    checkout = deployed.checkout
    deploy_second(deployed)
    held = hold_up(checkout, LED_BACK, "before", seconds=3)

    run = checkout.start("--deploy-env=local", "--deploy-pipeline=rollback", "--deploy-to=earlier", *QUICK)
    held.until_there(run)
    os.kill(run.pid, signal.SIGTERM)
    ran = run.wait(120)

    assert ran.code == 2, ran.said
    assert (checkout.decided()["outcome"], checkout.decided()["cause"]) == ("rolled-back", "SIGTERM")
    assert not [nodeid for nodeid in checkout.not_run() if nodeid.endswith("[rollback]")]
    assert checkout.standing() == deployed.standing


@pytest.mark.faults
def test_one_that_fails_needs_a_person(checkout: Checkout) -> None:
    """A step of the project's own says that the environment is not as it was."""
    assert checkout.deploy().code == 0
    checkout.commit("The same again")
    checkout.write("suites/rollback/test_own.py", REPORTED_WRONG)
    assert checkout.deploy_py("steps", "--write").code == 0
    checkout.commit("A step that never agrees")
    assert checkout.deploy().code == 0
    served = checkout.said("run.opened")[0]["commit"]

    ran = roll_back(checkout, rest=("--deploy-set=freeze_after_rollback=true",))

    assert ran.code == 20, ran.said
    assert checkout.decided()["outcome"] == "rollback-failed"
    assert "nobody agrees" in checkout.decided()["cause"]
    assert "a person is needed" in ran.stdout
    (frozen,) = checkout.said("environment.frozen")
    assert frozen["commit"] == served, "what was gone back from is frozen"
    assert_verifies(checkout)
