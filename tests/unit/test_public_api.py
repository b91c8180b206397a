"""The public API is `pytest_deploy` itself: small, said, and all that suites, examples and docs import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_deploy

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PYTHON = [*(ROOT / "suites").rglob("*.py"), *(ROOT / "examples").rglob("*.py"), ROOT / "conftest.py"]


def imported(text: str) -> set[str]:
    """The modules of the package that a text of Python imports from."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.split(".")[0] == "pytest_deploy"}


def test_every_public_name_is_there() -> None:
    missing = [name for name in pytest_deploy.__all__ if getattr(pytest_deploy, name, None) is None]

    assert missing == []
    assert sorted(pytest_deploy._HOME.keys() - set(pytest_deploy.__all__)) == []


def test_type_checkers_see_the_names_that_are_imported_when_asked_for() -> None:
    tree = ast.parse(Path(pytest_deploy.__file__).read_text(encoding="utf-8"))
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {}
    for node in checked.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            home = str(node.module).removeprefix("pytest_deploy.")
            seen[alias.asname or alias.name] = home + (f":{alias.name}" if alias.asname else "")

    assert seen == {name: pytest_deploy._HOME.get(name, "errors") for name in pytest_deploy.__all__}


def test_every_public_name_says_what_it_is() -> None:
    silent = [name for name in pytest_deploy.__all__ if not getattr(getattr(pytest_deploy, name), "__doc__", "")]

    assert silent == []


def test_every_method_of_a_public_class_says_what_it_does() -> None:
    silent = [
        f"{name}.{member}"
        for name in pytest_deploy.__all__
        if isinstance(public := getattr(pytest_deploy, name), type)
        for member, value in vars(public).items()
        if (callable(value) or isinstance(value, property | classmethod | staticmethod))
        and not member.startswith("_")
        and not value.__doc__
    ]

    assert silent == []


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    asked = (
        "import sys, pytest_deploy; print(sorted(name for name in sys.modules if name.startswith('pytest_deploy.')))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    assert ran.stdout.strip() == "[]"


def test_suites_and_examples_import_the_public_api_alone() -> None:
    inner = {str(path.relative_to(ROOT)): imported(path.read_text(encoding="utf-8")) for path in PYTHON}

    assert {path: names for path, names in inner.items() if not names <= {"pytest_deploy"}} == {}


def test_documentation_imports_the_public_api_alone() -> None:
    inner = {
        str(path.relative_to(ROOT)): found
        for path in PAGES
        if (found := re.findall(r"(?:from|import) (pytest_deploy\.[\w.]+)", path.read_text(encoding="utf-8")))
        and path.name != "CONTRIBUTING.md"
    }

    assert inner == {}


def test_a_name_that_is_not_public_is_refused_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match="no public name 'Controller'; public are"):
        _ = pytest_deploy.Controller
