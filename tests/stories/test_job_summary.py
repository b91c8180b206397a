"""A run in a CI job shows on the job's page how it ended."""

from __future__ import annotations

from pathlib import Path

from tests.stories.story_assertions import Deployed


def test_a_run_and_a_refused_start_say_on_the_job_s_page_how_they_ended(deployed: Deployed, tmp_path: Path) -> None:
    checkout, page = deployed.checkout, tmp_path / "summary.md"
    job = {"GITHUB_STEP_SUMMARY": str(page)}

    smoked = checkout.deploy("--deploy-pipeline=smoke", env=job)
    (checkout.path / "spec" / "ops-deployment-automation.md").write_text("No requirement.\n", encoding="utf-8")
    refused = checkout.deploy("--deploy-pipeline=smoke", env=job)

    assert smoked.code == 0, smoked.said
    assert refused.code != 0, refused.said
    text = page.read_text(encoding="utf-8")
    assert f"### local: smoke {checkout.last_run()}\n\n```text\npassed in " in text
    assert "\nanchor    tlog deploy.example.org/local " in text
    assert text.count("### local: smoke ") == 2
    assert "not started: deploy.yaml: 1 fault" in text.rpartition("### ")[2]
