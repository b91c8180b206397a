"""The checks that the project already has: lint, types and tests, by the settings of their tools."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pytest_deploy.starter.source_files import below, json_object, section, text, toml

Checks = dict[str, tuple[str, ...]]

_NODE: Final = {"lint": ("lint",), "types": ("typecheck", "type-check", "types"), "tests": ("test",)}
_NO_TEST: Final = "no test specified"
"""What `npm init` writes, which always fails."""


def read(folder: Path) -> Checks:
    """Each check that there is by its key of deploy.yaml, as a list of words."""
    found: Checks = {}
    for checks in (_of_python(folder), _of_node(folder), _of_go(folder)):
        found = checks | found
    return {name: found[name] for name in ("lint", "types", "tests") if name in found}


def _of_python(folder: Path) -> Checks:
    project = toml(folder / "pyproject.toml")
    tools = section(project, "tool")
    checks: Checks = {}
    if "ruff" in tools or any((folder / name).is_file() for name in ("ruff.toml", ".ruff.toml")):
        checks["lint"] = ("ruff", "check", ".")
    elif (folder / ".flake8").is_file():
        checks["lint"] = ("flake8",)
    elif (folder / "manage.py").is_file():
        checks["lint"] = ("python", "manage.py", "check")
    if "mypy" in tools or any((folder / name).is_file() for name in ("mypy.ini", ".mypy.ini")):
        told = section(tools, "mypy").get("files") or "files" in text(folder / "mypy.ini")
        checks["types"] = ("mypy",) if told else ("mypy", ".")
    elif "pyright" in tools or (folder / "pyrightconfig.json").is_file():
        checks["types"] = ("pyright",)
    tests = [path for path in below(folder, ".py") if path.name.startswith("test") or path.name.endswith("_test.py")]
    configured = "pytest" in tools or (folder / "pytest.ini").is_file()
    if tests and (folder / "manage.py").is_file() and not configured:
        checks["tests"] = ("python", "manage.py", "test")
    elif tests:
        # pytest's own word for where they lie, or the folder that has the usual name.
        settings = section(tools, "pytest", "ini_options") or section(tools, "pytest")
        told = settings.get("testpaths") or "testpaths" in text(folder / "pytest.ini")
        checks["tests"] = ("pytest", "-q", "tests") if (folder / "tests").is_dir() and not told else ("pytest", "-q")
    return checks


def _of_node(folder: Path) -> Checks:
    scripts = section(json_object(folder / "package.json"), "scripts")
    checks: Checks = {}
    for check, names in _NODE.items():
        name = next((one for one in names if isinstance(scripts.get(one), str)), None)
        if name is not None and _NO_TEST not in scripts[name]:
            checks[check] = ("npm", "test") if name == "test" else ("npm", "run", name)
    return checks


def _of_go(folder: Path) -> Checks:
    if not (folder / "go.mod").is_file():
        return {}
    tests: Checks = {"tests": ("go", "test", "./...")} if any(below(folder, "_test.go")) else {}
    return {"lint": ("go", "vet", "./..."), **tests}
