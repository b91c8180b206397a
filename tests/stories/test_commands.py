"""What people type beside pytest: look at what serves, and check the record."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from pathlib import Path

import requests

from tests.stories.story_assertions import Deployed


def test_local_platform_runs_in_the_foreground_until_interrupted(deployed: Deployed) -> None:
    checkout = deployed.checkout

    local = checkout.begin(sys.executable, "-u", "deploy.py", "local")
    local.until(lambda: "Ctrl-C" in local.output())

    url = re.search(r"http://127\.0\.0\.1:\d+", local.output())
    assert url is not None
    assert requests.get(f"{url[0]}/health", timeout=10).json() == deployed.standing.body
    assert f"100 % {deployed.revision}" in local.output()
    local.send(signal.SIGINT)
    ran = local.wait(10)
    assert ran.code == 0, ran.said
    checkout.assert_nothing_runs()


def test_run_is_a_deployment_whose_guard_was_there_before_pytest(deployed: Deployed) -> None:
    checkout = deployed.checkout

    script = str(Path(sys.executable).with_name("pytest-deploy"))
    ran = checkout.begin(script, "run", "local", "--pipeline", "smoke", "--", "-n", "2").wait()

    assert ran.code == 0, ran.said
    assert ran.stdout.partition("\n")[0].endswith("pytest --deploy-env=local --deploy-pipeline=smoke -n 2")
    (verify,) = (line for line in ran.stdout.splitlines() if line.startswith("verify  "))
    assert verify.endswith("pytest-deploy verify reports/local"), "as it was typed, though a deploy.py lies there"
    assert checkout.decided()["outcome"] == "passed"
    checkout.assert_nothing_runs()


def test_a_run_is_exported_by_the_command_and_the_reading_recorded(deployed: Deployed) -> None:
    checkout = deployed.checkout
    run = checkout.last_run()

    ran = checkout.deploy_py("export", run, "exported", "--purpose", "inspection", "--reader", "A. Inspector")

    assert ran.code == 0, ran.said
    assert "made      report.html" in ran.stdout
    assert checkout.said("record.read", run)[-1]["reader"] == "A. Inspector"
    assert checkout.deploy_py("verify", "reports/local").code == 0
    again = checkout.deploy_py("export", run, "exported")
    assert again.code == 4, again.said
    shutil.rmtree(checkout.path / "exported")


def test_tampered_copy_of_the_record_does_not_verify(deployed: Deployed) -> None:
    checkout = deployed.checkout
    copy = checkout.path / "copy"
    shutil.copytree(checkout.store, copy)
    assert checkout.deploy_py("verify", "copy").code == 0
    victim = copy / "log" / "00000010.event"
    victim.write_bytes(
        victim.read_bytes().replace(b'"outcome":"passed"', b'"outcome":"failed"').replace(b'"actor"', b'"Actor"')
    )

    ran = checkout.deploy_py("verify", "copy")

    assert ran.code == 1, ran.said
    assert "log/00000010.event: " in ran.stdout, ran.said
    assert "NOT VERIFIED" in ran.stdout
    shutil.rmtree(copy)
