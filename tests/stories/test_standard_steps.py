"""The standard steps come with the package: a project's suites/ adds to them, and replaces one only by a reasoned entry."""

from __future__ import annotations

import html

from tests.project_checkout import Checkout
from tests.stories.story_assertions import Deployed

IN_TIME = "pytest_deploy/suites/smoke/test_database.py::test_query_answers_in_time"
OWN = "suites/smoke/test_pool.py::test_pool_answers_in_time"
REASON = "connections come from a pool (QA-112)"
STEP = '"""The pool."""\n\n\ndef test_pool_answers_in_time(database, record):\n    record.expect(1, database.one("select 1"))\n'
REPLACED = f"""    replaced_steps:
      {IN_TIME}:
        by: {OWN}
        reason: {REASON}
"""


def _replace(checkout: Checkout) -> None:
    written = (checkout.path / "deploy.yaml").read_text(encoding="utf-8")
    checkout.write("deploy.yaml", written.replace("    dirty_tree: true\n", f"    dirty_tree: true\n{REPLACED}", 1))


def test_a_replaced_step_does_not_run_and_is_a_deviation_of_the_report(deployed: Deployed) -> None:
    checkout = deployed.checkout
    _replace(checkout)

    nothing = checkout.deploy("-n", "2")
    assert nothing.code == 4, nothing.said
    assert f"replaced_steps.{IN_TIME}.by: {OWN} is not collected there" in nothing.said

    checkout.write("suites/smoke/test_pool.py", STEP)
    assert checkout.deploy_py("steps", "--write").code == 0
    checkout.commit("The pool answers in a step of its own")
    for workers in ([], ["-n", "2"]):
        ran = checkout.deploy(*workers)
        assert ran.code == 0, ran.said
        outcomes = checkout.step_outcomes()
        assert outcomes[OWN] == "passed"
        assert IN_TIME not in outcomes
        assert f"{IN_TIME}[rollback]" in outcomes, "what a rollback asks is not replaced with it"
    deployed.standing = checkout.standing()
    page = (checkout.run_folder() / "report.html").read_text(encoding="utf-8")
    assert html.escape(f"{OWN}: {REASON}") in html.unescape(page).replace("\\", "") or REASON in page
    verified = checkout.deploy_py("verify", "reports/local")
    assert verified.code == 0, verified.said


def test_a_standard_step_whose_file_was_altered_is_refused_though_its_name_is_the_lock_s(checkout: Checkout) -> None:
    """It lies in an installed package, which no commit holds: the lock, which one does, knows its bytes."""
    file = checkout.path / IN_TIME.partition("::")[0]
    file.write_text(
        file.read_text(encoding="utf-8").replace("assert seconds <", "assert seconds is not"), encoding="utf-8"
    )

    for workers in ([], ["-n", "2"]):
        ran = checkout.deploy(*workers)
        assert ran.code == 4, ran.said
        assert "their files are not those that the lock was written for" in ran.said
    assert not checkout.store.exists()


def test_an_empty_suites_with_a_lock_is_a_whole_deployment(checkout: Checkout) -> None:
    for file in (checkout.path / "suites").rglob("*.py"):
        file.unlink()
    assert checkout.deploy_py("steps", "--write").code == 0
    written = (checkout.path / "deploy.yaml").read_text(encoding="utf-8")
    checkout.write("deploy.yaml", written.replace("leave_out: [approval]", "leave_out: [approval, integration]", 1))

    ran = checkout.deploy()

    assert ran.code == 0, ran.said
    assert all(step.startswith("pytest_deploy/suites/") for step in checkout.step_outcomes())


def test_only_a_smoke_step_runs_again_in_a_rollback(checkout: Checkout) -> None:
    checkout.write(
        "suites/health/test_more.py", "import pytest\n\n\n@pytest.mark.step(rollback=True)\ndef test_it(): pass\n"
    )

    ran = checkout.deploy_py("steps", "--check")

    assert ran.code == 4, ran.said
    assert "step(rollback=True): only a smoke step runs again in a rollback; health is no smoke" in ran.said
