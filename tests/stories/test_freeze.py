"""What was rolled back stays frozen, whoever rolled it back, until somebody signs that it may be deployed to again."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.project_checkout import Checkout
from tests.stories.held_steps import hold_up
from tests.stories.step_ids import TRAFFIC
from tests.stories.story_assertions import deploy_first

ASKED = ("thaw", "local", "--yes", "--reason", "the hold is gone")


@pytest.mark.faults
def test_a_run_that_recover_rolled_back_freezes_the_environment_until_it_is_thawed(
    checkout: Checkout, tmp_path: Path
) -> None:
    written = (checkout.path / "deploy.yaml").read_text(encoding="utf-8")
    checkout.write(
        "deploy.yaml", written.replace("dirty_tree: true", "dirty_tree: true\n    freeze_after_rollback: true")
    )
    checkout.commit("A rollback freezes local")
    deployed = deploy_first(checkout)
    tina, quinn = _enrolled(checkout, tmp_path, "tina", "Tech Lead"), _enrolled(checkout, tmp_path, "quinn", "QA Lead")
    held = hold_up(checkout, TRAFFIC, "after")
    run = checkout.start_deploy()
    held.until_there(run)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(10)

    recovered = checkout.deploy_py("recover", "local")

    assert recovered.code == 0, recovered.said
    undone = checkout.last_run()
    assert checkout.decided(undone)["outcome"] == "rolled-back"
    assert [event.run for event in checkout.events() if event.type == "environment.frozen"] == [undone]
    assert checkout.standing() == deployed.standing

    deployed.restore_tree()
    frozen = checkout.deploy()

    assert frozen.code == 1, frozen.said
    assert f"frozen by run {undone}" in frozen.stdout
    assert "deploy.py thaw local --reason" in frozen.stdout
    assert checkout.standing() == deployed.standing

    again = checkout.deploy_py("recover", "local")
    by_another = checkout.deploy_py(*ASKED, "--key", str(quinn))

    assert again.code == 0, again.said
    assert by_another.code != 0, by_another.said
    assert "Tech Lead" in by_another.stderr
    assert [event for event in checkout.events() if event.type == "environment.released"] == []

    thawed = checkout.deploy_py(*ASKED, "--key", str(tina))
    after = checkout.deploy()

    assert thawed.code == 0, thawed.said
    assert after.code == 0, after.said
    asked = [said["verdict"] for said in checkout.said("gate.passed") if said["gate"] == "freeze"]
    assert set(asked) == {"passed"}
    verified = checkout.deploy_py("verify", str(checkout.store))
    assert verified.code == 0, verified.said


def _enrolled(checkout: Checkout, folder: Path, name: str, role: str) -> Path:
    """The key of somebody whom local's roster knows from now on."""
    key = folder / name
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(words, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    who = (f"--person={name}@example.org", f"--name={name.title()} Example", f"--role={role}")
    ran = checkout.deploy_py("keys", "enroll", "local", *who, f"--public-key={key}.pub", "--reason=OPS-1")
    assert ran.code == 0, ran.said
    return key
