"""What docs/design.md says of the code is there: one deployment can be followed from the plug-in to `run.closed`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import pytest_deploy

PACKAGE = Path(pytest_deploy.__file__).parent
SECTION = (PACKAGE.parent / "docs/design.md").read_text(encoding="utf-8").partition("## One deployment, followed")[2]
HOPS = re.findall(r"`([a-z_]+/[a-z_/]+\.py):([A-Za-z_.]+)`", SECTION)


def functions(path: Path) -> set[str]:
    """The functions of a module and, as `Class.method`, those of its classes."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


def test_one_deployment_is_followed_in_25_hops_at_most() -> None:
    numbers = re.findall(r"^(\d+)\. `", SECTION, re.MULTILINE)

    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert 10 < len(numbers) <= 25
    assert HOPS[0] == ("plugin/plugin.py", "pytest_load_initial_conftests")
    assert HOPS[-1] == ("reports/seal.py", "seal")


@pytest.mark.parametrize("file, function", HOPS)
def test_every_hop_is_a_function_of_its_file(file: str, function: str) -> None:
    assert function in functions(PACKAGE / file)
