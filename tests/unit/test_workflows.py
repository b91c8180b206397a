"""The workflows of .github/workflows: as each of the four programs that read them wants them, and as this project's own rules do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_deploy.plugin.controller import UNDONE_AND_SEALED_S
from pytest_deploy.policy.load import load
from tests.github_runner import SECRETS, WORKFLOWS, actions_used
from tests.required_programs import path_of

ROOT = WORKFLOWS.parents[1]
FILES = sorted(WORKFLOWS.glob("*.yml"))
NAMES = ("deploy-development", "deploy-production", "deploy-staging", "recover", "rollback")
ENVIRONMENTS = ("development", "staging", "production")
PINNED = re.compile(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def document(name: str) -> dict[str, Any]:
    # YAML reads the key `on` as true.
    read: dict[Any, Any] = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in read.items()}


JOBS = [(name, job, described) for name in NAMES for job, described in document(name)["jobs"].items()]
each_job = pytest.mark.parametrize("name, job, described", JOBS, ids=[f"{name}-{job}" for name, job, _ in JOBS])


def ran(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [path_of(words[0]), *words[1:]], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_workflows_are_those_of_the_specification_and_the_one_that_recovers() -> None:
    assert tuple(path.stem for path in FILES) == NAMES
    assert [document(name)["name"] for name in NAMES] == list(NAMES)


@pytest.mark.parametrize(
    "words",
    [
        ("actionlint", "-no-color"),
        ("zizmor", "--offline", "--no-progress", "--quiet", ".github/workflows"),
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *(str(path) for path in FILES)),
        ("act", "--list"),
        ("act", "--validate", "--strict"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_who_reads_them_finds_nothing(words: tuple[str, ...]) -> None:
    found = ran(*words)

    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    "words, says",
    [
        (("actionlint", "-no-color"), 'property "stepp" is not defined'),
        (("zizmor", "--offline", "--no-progress", "--quiet", ".github/workflows"), "template-injection"),
        (("check-jsonschema", "--builtin-schema", "vendor.github-workflows", ".github/workflows/x.yml"), "ssteps"),
        (("act", "--validate", "--strict"), "ssteps"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_each_of_them_does_find_what_is_wrong(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    """Else the test above could not fail."""
    text = (WORKFLOWS / "deploy-staging.yml").read_text(encoding="utf-8")
    if words[0] in {"actionlint", "zizmor"}:
        text = text.replace("inputs.step == 'plan'", "inputs.stepp == 'plan'").replace(
            '="$REASON"', "=${{ inputs.reason }}"
        )
    else:
        text = text.replace("    steps:", "    ssteps:")
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "x.yml").write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, capture_output=True, timeout=30)

    found = ran(*words, cwd=tmp_path)

    assert found.returncode != 0
    assert says in found.stdout + found.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(path: Path) -> None:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]

    assert lines
    assert [line for line in lines if not PINNED.search(line)] == []


def test_one_action_has_one_pin() -> None:
    used = sorted(actions_used())

    assert [one.partition("@")[0] for one in used] == [
        "actions/checkout", "actions/setup-python", "actions/upload-artifact", "google-github-actions/auth",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_run_is_dropped_and_nothing_is_permitted_that_a_job_does_not_ask_for(name: str) -> None:
    read = document(name)

    assert read["permissions"] == {}
    assert "concurrency" not in str(read), "a group drops the run that waits; the lease does not"


@each_job
def test_a_job_may_read_the_code_and_log_in_and_nothing_else(name: str, job: str, described: dict[str, Any]) -> None:
    assert described["permissions"] == {"contents": "read", "id-token": "write"}
    assert described["runs-on"] == "ubuntu-24.04"


@each_job
def test_a_job_checks_the_whole_history_out_and_keeps_no_token(name: str, job: str, described: dict[str, Any]) -> None:
    first = described["steps"][0]

    assert first["uses"].startswith("actions/checkout@")
    assert first["with"] == {"fetch-depth": 0, "persist-credentials": False}


@each_job
def test_the_program_is_the_process_of_its_step_and_its_words_hold_no_expression(
    name: str, job: str, described: dict[str, Any]
) -> None:
    """A signal reaches it because the shell has become it; an input is a variable, never a part of a script."""
    scripts = [step["run"] for step in described["steps"] if "run" in step and "make" not in step["run"]]

    assert scripts
    for script in scripts:
        assert script.startswith("exec .venv/bin/python deploy.py ")
        assert len(script.splitlines()) == 1, "what is decided is decided by the program"
        assert "${{" not in script
        assert all(f'="{word}"' in script or f' "{word}"' in script for word in re.findall(r"\$\w+", script)), script


@each_job
def test_a_step_ends_before_its_job_so_that_what_must_follow_it_does(
    name: str, job: str, described: dict[str, Any]
) -> None:
    steps = described["steps"]
    at = next(number for number, step in enumerate(steps) if "deploy.py" in step.get("run", ""))
    after = [step for step in steps[at + 1 :] if "--summary" not in step.get("run", "")]

    assert sum(step.get("timeout-minutes", 0) for step in steps) < described["timeout-minutes"]
    assert all("timeout-minutes" in step for step in (steps[at], *after))
    if name != "recover":
        assert [step["if"] for step in after] == ["always()", "always()"]
        assert "deploy.py recover" in after[0]["run"]
        assert after[0]["run"].endswith("--unattended")


@each_job
def test_an_artefact_is_named_by_the_attempt_and_there_has_to_be_one(
    name: str, job: str, described: dict[str, Any]
) -> None:
    kept = described["steps"][-1]["with"]

    assert kept["name"].endswith("-${{ github.run_id }}-${{ github.run_attempt }}")
    assert kept["if-no-files-found"] == "error"
    assert kept["path"].startswith("reports/"), "the record's copy alone: no login, no key"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_deployment_may_take_as_long_as_its_policy_lets_it(environment: str) -> None:
    """Waiting for the lease, the run's own limit, its rollback and the seal: only then does the runner end it."""
    policy = load(ROOT / "deploy.yaml", environment)
    job = document(f"deploy-{environment}")["jobs"]["deploy" if environment == "development" else "run"]
    (minutes,) = (step["timeout-minutes"] for step in job["steps"] if "deploy.py run" in step.get("run", ""))

    assert policy.lease.wait_s > 0
    assert minutes * 60 > policy.lease.wait_s + policy.run_limit + policy.rollback.budget_s + UNDONE_AND_SEALED_S


def test_each_environment_is_the_one_of_its_job_and_plans_and_recoveries_ask_nobody() -> None:
    found = {(name, job): described.get("environment") for name, job, described in JOBS}

    assert found == {
        ("deploy-development", "deploy"): "development",
        ("deploy-staging", "plan"): None,
        ("deploy-staging", "run"): "staging",
        ("deploy-production", "plan"): None,
        ("deploy-production", "run"): "production",
        ("rollback", "rollback"): "${{ inputs.environment }}",
        ("recover", "recover"): None,
    }


def test_the_secrets_are_the_seven_of_the_activation_instructions() -> None:
    specified = (ROOT / "spec" / "ops-deployment-automation.md").read_text(encoding="utf-8")
    used = {name for path in FILES for name in re.findall(r"secrets\.(\w+)", path.read_text(encoding="utf-8"))}

    assert sorted(re.findall(r"gh secret set (\w+)", specified)) == sorted(SECRETS)
    assert used == set(SECRETS)


def test_a_rollback_takes_what_the_specifications_command_gives_and_no_more_is_required() -> None:
    inputs = document("rollback")["on"]["workflow_dispatch"]["inputs"]

    assert {name for name, described in inputs.items() if described.get("required")} == {
        "environment",
        "target_version",
    }
    assert set(inputs) == {"environment", "target_version", "reason", "ticket"}
    assert inputs["environment"]["options"] == list(ENVIRONMENTS)


def test_recovery_follows_every_workflow_that_changes_something_and_a_schedule() -> None:
    on = document("recover")["on"]

    assert on["workflow_run"] == {
        "workflows": ["deploy-development", "deploy-staging", "deploy-production", "rollback"],
        "types": ["completed"],
    }
    assert on["schedule"]
    matrix = document("recover")["jobs"]["recover"]["strategy"]
    assert [one["environment"] for one in matrix["matrix"]["include"]] == list(ENVIRONMENTS)
    assert matrix["fail-fast"] is False
