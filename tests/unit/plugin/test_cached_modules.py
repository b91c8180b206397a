"""A compiled module that would be taken for its source, and is not of it, is named; one that nobody reads is not."""

from __future__ import annotations

import importlib.util
import marshal
import os
import py_compile
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.plugin.cached_modules import foreign
from tests.child_process import environ_without_pytest

SOURCE = '''"""What it is."""

KNOWN = {"one", "other", 3.5, None, (1, "two")}


def judge(value, *, strict=False):
    assert value in KNOWN, "not known"
    try:
        return [one for one in KNOWN if one == value]
    except TypeError as error:
        raise ValueError(f"{value!r}") from error


class Judge:
    """Whose."""

    async def asked(self):
        match self:
            case Judge():
                return lambda: judge("one")
'''
TAG = sys.implementation.cache_tag
NAMED = f"__pycache__/test_it.{TAG}.pyc is not what test_it.py compiles to; remove it"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(SOURCE)
    (tmp_path / "__pycache__").mkdir()
    return tmp_path


def cached(checkout: Path, ending: str = ".pyc") -> Path:
    return checkout / "__pycache__" / f"test_it.{TAG}{ending}"


def found(checkout: Path, config: pytest.Config) -> tuple[str, ...]:
    return foreign(checkout, ["test_it.py", "read.me", "gone.py"], config)


@pytest.mark.parametrize("optimize, ending", [(0, ".pyc"), (1, ".opt-1.pyc"), (2, ".opt-2.pyc")])
@pytest.mark.parametrize("kind", py_compile.PycInvalidationMode)
def test_what_python_makes_of_a_source_is_not_named_and_what_it_makes_of_another_is(
    checkout: Path,
    pytestconfig: pytest.Config,
    optimize: int,
    ending: str,
    kind: py_compile.PycInvalidationMode,
) -> None:
    source, made = checkout / "test_it.py", cached(checkout, ending)
    py_compile.compile(str(source), cfile=str(made), optimize=optimize, invalidation_mode=kind, doraise=True)
    assert found(checkout, pytestconfig) == ()

    other = marshal.dumps(compile(SOURCE.replace('"other"', '"third"'), str(source), "exec", optimize=optimize))
    made.write_bytes(made.read_bytes()[:16] + other)

    assert found(checkout, pytestconfig) == (NAMED.replace(".pyc", ending),)


def test_what_pytest_makes_of_a_source_is_not_named_and_what_python_makes_of_it_is(
    checkout: Path, pytestconfig: pytest.Config
) -> None:
    """In pytest's place: its asserts would say nothing, or be left out."""
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"],
        cwd=checkout,
        env={**environ_without_pytest(), "PYTHONDONTWRITEBYTECODE": ""},
        capture_output=True,
        check=False,
        timeout=120,
    )
    ending = f"-pytest-{pytest.__version__}.pyc"
    made = cached(checkout, ending)
    assert made.is_file()
    assert found(checkout, pytestconfig) == ()

    plain = marshal.dumps(compile(SOURCE, str(checkout / "test_it.py"), "exec"))
    made.write_bytes(made.read_bytes()[:16] + plain)

    assert found(checkout, pytestconfig) == (NAMED.replace(".pyc", ending),)


def out_of_date(made: Path) -> None:
    os.utime(made.parents[1] / "test_it.py", (1, 1))


def of_another_python(made: Path) -> None:
    made.write_bytes(b"\0\0\r\n" + made.read_bytes()[4:])


def cut_short(made: Path) -> None:
    made.write_bytes(made.read_bytes()[:15])


def of_another_source_by_hash(made: Path) -> None:
    made.write_bytes(importlib.util.MAGIC_NUMBER + b"\3\0\0\0" + importlib.util.source_hash(b"other") + b"N")


@pytest.mark.parametrize("change", [out_of_date, of_another_python, cut_short, of_another_source_by_hash])
def test_what_python_does_not_take_is_not_named(
    checkout: Path, pytestconfig: pytest.Config, change: Callable[[Path], None]
) -> None:
    source = checkout / "test_it.py"
    py_compile.compile(str(source), cfile=str(cached(checkout)), doraise=True)
    kept = cached(checkout).read_bytes()
    cached(checkout).write_bytes(kept[:16] + marshal.dumps(compile("other = 1", "x", "exec")))
    assert found(checkout, pytestconfig) == (NAMED,)

    change(cached(checkout))

    assert found(checkout, pytestconfig) == ()


@pytest.mark.parametrize("code", [b"", b"\xff", b"N", marshal.dumps([compile("1", "x", "eval")])])
def test_what_holds_no_code_is_named(checkout: Path, pytestconfig: pytest.Config, code: bytes) -> None:
    cached(checkout).write_bytes(importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + bytes(8) + code)

    assert found(checkout, pytestconfig) == (NAMED,)


def test_code_beside_a_source_that_does_not_compile_is_named(checkout: Path, pytestconfig: pytest.Config) -> None:
    (checkout / "test_it.py").write_text("def")
    code = marshal.dumps(compile("1", "x", "exec"))
    cached(checkout).write_bytes(importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + bytes(8) + code)

    assert found(checkout, pytestconfig) == (NAMED,)
