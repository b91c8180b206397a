"""What a commit is checked by before it is made: the programs of this project's own environment, and nothing from elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project_checkout import REPOSITORY
from tests.required_programs import needs, path_of

CONFIGURATION = REPOSITORY / ".pre-commit-config.yaml"
LONG = {"mypy", "lint-imports", "steps-lock"}
"""`make lint` and other tests run them over the whole tree."""


def hooks() -> Iterator[dict[str, Any]]:
    for repository in yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["repos"]:
        assert repository["repo"] == "local", "no host is asked"
        yield from repository["hooks"]


def test_the_configuration_is_valid_and_every_hook_is_local() -> None:
    ran = subprocess.run(
        [path_of("pre-commit"), "validate-config", str(CONFIGURATION)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {hook["language"] for hook in hooks()} == {"system"}


def test_a_hook_s_program_is_one_of_the_environment_or_of_this_repository() -> None:
    for hook in hooks():
        program = hook["entry"].split()[0]
        if program.startswith(".venv/bin/"):
            path_of(Path(program).name)
        else:
            assert os.access(REPOSITORY / program, os.X_OK), program


def test_what_make_lint_runs_a_commit_is_checked_by() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\nlint:")[2].partition("\n\n")[0]
    linted = {line.split("/", 1)[1].split(" --check")[0].removesuffix(" .").strip() for line in recipe.splitlines()[1:]}
    entries = [hook["entry"].removeprefix(".venv/bin/") for hook in hooks()]

    assert linted == {"ruff check", "ruff format", "mypy", "lint-imports"}
    assert all(any(entry.startswith(words) for entry in entries) for words in linted)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A commit to be made: this repository's workflows and a module, with its environment beside them."""
    needs("actionlint")
    root = tmp_path / "clone"
    for name in (".github", ".ci"):
        shutil.copytree(REPOSITORY / name, root / name)
    for name in (".pre-commit-config.yaml", "pyproject.toml", "deploy.py"):
        shutil.copy(REPOSITORY / name, root / name)
    (root / ".venv").symlink_to(Path(sys.executable).parents[1])
    git(root, "init", "-q")
    return root


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, timeout=30)


def checked(root: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """`pre-commit run` over what is to be committed; nothing may be fetched."""
    git(root, "add", ".github", ".pre-commit-config.yaml", "pyproject.toml", "deploy.py")
    env = {
        **os.environ,
        "PRE_COMMIT_HOME": str(tmp_path / "home"),
        "SKIP": ",".join(LONG),
        "http_proxy": "http://127.0.0.1:9",
    }
    # Go's cache of what is built is the user's own.
    return subprocess.run(
        [path_of("pre-commit"), "run", "--color=never"],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_commit_that_is_well_passes(clone: Path, tmp_path: Path) -> None:
    ran = checked(clone, tmp_path)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("Passed") == len(list(hooks())) - len(LONG), ran.stdout


def test_a_commit_that_is_not_is_refused_by_name_of_the_hook(clone: Path, tmp_path: Path) -> None:
    workflow = clone / ".github" / "workflows" / "deploy-staging.yml"
    text = workflow.read_text(encoding="utf-8").replace("inputs.step == 'plan'", "inputs.stepp == 'plan'")
    workflow.write_text(
        text.replace('="$REASON"', "=${{ inputs.reason }}").replace("    steps:", "    ssteps:", 1), encoding="utf-8"
    )
    (clone / "deploy.py").write_text("import os\n", encoding="utf-8")

    ran = checked(clone, tmp_path)

    assert ran.returncode == 1
    failed = {line.partition(".")[0] for line in ran.stdout.splitlines() if line.endswith("Failed")}
    assert {"ruff check", "actionlint", "schema of the workflows"} <= failed, ran.stdout
