"""Where only commits are deployed, nothing runs that the commit does not hold; tried on real child sessions, before anything is opened.

One byte, one file, one compiled module, one replaced object, one program on PATH: each is refused by name.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.child_process import Ran
from tests.project_checkout import Checkout

PRODUCTION = ("--deploy-env=production", "--deploy-rehearse", "--deploy-run=production-20270101T000000Z-0000")
"""Ends at the request, which does not exist: whatever was to be refused before it was, or was not."""
REFUSED = 4
NO_REQUEST = "production-20270101T000000Z-0000"
FORGED = "pytest_deploy/plugin/session.py"
CONFTEST = "suites/conftest.py"
TAG = "cpython-" + "".join(map(str, sys.version_info[:2]))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    with Checkout.open(tmp_path_factory.mktemp("committed")) as checkout:
        yield checkout


@pytest.fixture
def checkout(opened: Checkout) -> Iterator[Checkout]:
    """The tree as it was committed, before and after."""
    yield opened
    opened.git("reset", "--quiet", "--hard")
    opened.git("clean", "-qfdx", "--exclude=__pycache__")
    for name in (FORGED, CONFTEST):
        shutil.rmtree((opened.path / name).parent / "__pycache__", ignore_errors=True)
    shutil.rmtree(opened.path / ".git" / "refs" / "replace", ignore_errors=True)
    (opened.path / ".git" / "info" / "exclude").write_text("")


def start(checkout: Checkout, tmp_path: Path, **variables: str) -> Ran:
    kept = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "SEEN": str(tmp_path / "seen")}
    return checkout.run(*PRODUCTION, env={**kept, **variables})


SAYS = "import os, pathlib\npathlib.Path(os.environ['SEEN']).write_text('it ran')\n"
"""A module that leaves a trace where it is imported."""


def a_clone_as_it_is(checkout: Checkout) -> str:
    return ""


def an_ignored_conftest(checkout: Checkout) -> str:
    checkout.write("suites/preflight/conftest.py", SAYS)
    checkout.write(".git/info/exclude", "/suites/preflight/conftest.py\n")
    return "suites/preflight/conftest.py is not in the commit"


def an_ignored_module_of_the_root(checkout: Checkout) -> str:
    checkout.write("holidays.py", SAYS)
    checkout.write(".git/info/exclude", "/holidays.py\n")
    return "holidays.py is not in the commit"


def one_byte_that_git_does_not_see(checkout: Checkout) -> str:
    checkout.git("update-index", "--assume-unchanged", "suites/conftest.py")
    text = (checkout.path / "suites" / "conftest.py").read_text(encoding="utf-8")
    checkout.write("suites/conftest.py", f"{text}\n{SAYS}")
    return "suites/conftest.py has other bytes than the commit's"


def an_uncommitted_policy(checkout: Checkout) -> str:
    checkout.write("deploy.yaml", (checkout.path / "deploy.yaml").read_text(encoding="utf-8") + "\n# later\n")
    return "deploy.yaml has other bytes than the commit's"


def a_replaced_object(checkout: Checkout) -> str:
    """Git then shows the commit with what lies on disk, and says that nothing was changed."""
    reviewed = checkout.git("rev-parse", f"HEAD:{CONFTEST}")
    text = (checkout.path / CONFTEST).read_text(encoding="utf-8")
    file = checkout.write(CONFTEST, f"{text}\n{SAYS}")
    checkout.git("replace", reviewed, checkout.git("hash-object", "-w", str(file)))
    assert SAYS in checkout.git("show", f"HEAD:{CONFTEST}") + "\n", "it is not replaced: nothing is shown"
    return f"{CONFTEST} has other bytes than the commit's"


def a_compiled_module(checkout: Checkout) -> str:
    forge(checkout, CONFTEST, of_pytest=False)
    return f"suites/__pycache__/conftest.{TAG}.pyc is not what {CONFTEST} compiles to"


def a_compiled_module_that_nothing_is_asked_of(checkout: Checkout) -> str:
    forge(checkout, CONFTEST, header=UNCHECKED, of_pytest=False)
    return f"suites/__pycache__/conftest.{TAG}.pyc is not what {CONFTEST} compiles to"


def a_module_that_pytest_compiled(checkout: Checkout) -> str:
    forge(checkout, CONFTEST, of_python=False)
    return f"suites/__pycache__/conftest.{TAG}-pytest-{pytest.__version__}.pyc is not what {CONFTEST} compiles to"


def a_module_of_the_folder_of_compiled_ones(checkout: Checkout) -> str:
    (checkout.path / "suites" / "__pycache__").mkdir()
    checkout.write("suites/__pycache__/helper.py", SAYS)
    return "suites/__pycache__/helper.py is not in the commit"


@pytest.mark.parametrize(
    "change",
    [
        an_ignored_conftest,
        an_ignored_module_of_the_root,
        one_byte_that_git_does_not_see,
        an_uncommitted_policy,
        a_replaced_object,
        a_compiled_module,
        a_compiled_module_that_nothing_is_asked_of,
        a_module_that_pytest_compiled,
        a_module_of_the_folder_of_compiled_ones,
    ],
)
def test_a_tree_that_differs_from_its_commit_is_refused_by_name(
    checkout: Checkout, tmp_path: Path, change: Callable[[Checkout], str]
) -> None:
    named = change(checkout)

    ran = start(checkout, tmp_path)

    assert ran.code == REFUSED, ran.said
    assert "nothing was started: production runs what commit" in ran.stderr, ran.said
    assert f"\n  {named}" in ran.stderr, ran.said
    assert not (tmp_path / "seen").exists(), "it was imported before it was judged"
    assert not checkout.rehearsing("production").store.exists()


def test_a_clone_as_it_is_comes_to_its_request(checkout: Checkout, tmp_path: Path) -> None:
    ran = start(checkout, tmp_path)

    assert ran.code == REFUSED, ran.said
    assert NO_REQUEST in ran.stderr, ran.said
    assert "runs what commit" not in ran.stderr, ran.said


def test_compiled_modules_of_the_commit_s_sources_and_of_earlier_ones_may_lie_in_it(
    checkout: Checkout, tmp_path: Path
) -> None:
    """A checkout in which people work. Nobody reads those of earlier sources: their time is another."""
    made = checkout.run("--collect-only", "-q", "suites/integration", env={"PYTHONDONTWRITEBYTECODE": ""})
    of_pytest = f"conftest.{TAG}-pytest-{pytest.__version__}.pyc"
    assert (checkout.path / "suites" / "__pycache__" / of_pytest).is_file(), made.said
    forge(checkout, CONFTEST, header=bytes(12), of_pytest=False)

    ran = start(checkout, tmp_path)

    assert NO_REQUEST in ran.stderr, ran.said
    assert "runs what commit" not in ran.stderr, ran.said


def test_what_is_compiled_lies_in_a_private_folder_and_not_in_the_checkout(checkout: Checkout, tmp_path: Path) -> None:
    def compiled(folder: Path) -> set[Path]:
        return {path for path in folder.rglob("*.pyc") if path.name.startswith("session.")}

    before = compiled(checkout.path)

    ran = start(checkout, tmp_path, PYTHONDONTWRITEBYTECODE="")

    assert NO_REQUEST in ran.stderr, ran.said
    assert compiled(tmp_path / "cache" / "pytest-deploy" / "bytecode"), ran.said
    assert compiled(checkout.path) == before, ran.said


def a_git_of_somebody_s(folder: Path) -> str:
    """A PATH on which it comes first; it does what git does, and leaves a trace."""
    folder.mkdir()
    program = folder / "git"
    program.write_text(f'#!/bin/sh\necho it ran >"$SEEN"\nexec {shutil.which("git")} "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_program_on_path_that_is_not_the_system_s_is_refused_by_name(checkout: Checkout, tmp_path: Path) -> None:
    ran = start(checkout, tmp_path, PATH=a_git_of_somebody_s(tmp_path / "bin"))

    assert ran.code == REFUSED, ran.said
    assert "nothing was started: production is judged by programs of the system's folders" in ran.stderr, ran.said
    assert f"\n  git: PATH gives {tmp_path}/bin/git first; the one that is used is " in ran.stderr, ran.said
    assert not (tmp_path / "seen").exists(), "it was asked before it was judged"


def test_local_says_nothing_of_it_and_does_not_ask_it(checkout: Checkout, tmp_path: Path) -> None:
    variables = {"PATH": a_git_of_somebody_s(tmp_path / "bin"), "SEEN": str(tmp_path / "seen")}

    ran = checkout.run("--deploy-env=local", "--deploy-run=x", env=variables)

    assert "judged by programs" not in ran.stderr, ran.said
    assert not (tmp_path / "seen").exists()


def test_a_program_that_deploy_yaml_names_is_the_one_that_is_asked(checkout: Checkout, tmp_path: Path) -> None:
    before = checkout.git("rev-parse", "HEAD")
    path = a_git_of_somebody_s(tmp_path / "bin")
    policy = (checkout.path / "deploy.yaml").read_text(encoding="utf-8")
    checkout.write("deploy.yaml", f"programs: {{git: {tmp_path}/bin/git}}\n{policy}")
    checkout.commit("Our own git")

    ran = start(checkout, tmp_path, PATH=path)
    checkout.git("reset", "--quiet", "--hard", before)

    assert NO_REQUEST in ran.stderr, ran.said
    assert "judged by programs" not in ran.stderr, ran.said
    assert (tmp_path / "seen").exists()


def test_a_checkout_that_cannot_be_judged_is_not_started(checkout: Checkout, tmp_path: Path) -> None:
    """Its tree cannot be read: git says so, and that is no reason to go on without having asked."""
    tree = checkout.git("rev-parse", "HEAD^{tree}")
    kept = checkout.path / ".git" / "objects" / tree[:2] / tree[2:]
    away = kept.rename(tmp_path / "away")
    checkout.write("suites/preflight/conftest.py", SAYS)
    try:
        ran = start(checkout, tmp_path)
    finally:
        away.rename(kept)

    assert ran.code == REFUSED, ran.said
    assert "nothing was started" in ran.stderr, ran.said
    assert not (tmp_path / "seen").exists(), "it was imported before it was judged"


def test_compiled_modules_are_not_read_from_a_home_inside_the_checkout(checkout: Checkout, tmp_path: Path) -> None:
    inside = {"HOME": str(checkout.path / ".deploy"), "XDG_CACHE_HOME": str(checkout.path / ".deploy" / "cache")}

    ran = checkout.run(*PRODUCTION, env={**inside, "SEEN": str(tmp_path / "seen")})

    assert NO_REQUEST in ran.stderr, ran.said
    assert not (checkout.path / ".deploy" / "cache").exists()
    assert not (checkout.path / ".deploy" / ".cache").exists()


def test_a_compiled_module_of_another_source_is_named_and_not_read(checkout: Checkout, tmp_path: Path) -> None:
    """Its time, its size and its hash are those of the source, so that Python and pytest would take it."""
    forge(checkout, FORGED)
    assert not (tmp_path / "seen").exists()
    local = checkout.run("--deploy-env=local", "--deploy-run=x", env={"SEEN": str(tmp_path / "seen")})
    assert (tmp_path / "seen").exists(), f"Python does not take it: nothing is shown\n{local.said}"
    (tmp_path / "seen").unlink()

    ran = start(checkout, tmp_path)

    named = f"pytest_deploy/plugin/__pycache__/session.{TAG}"
    assert f"\n  {named}.pyc is not what {FORGED} compiles to" in ran.stderr, ran.said
    assert f"\n  {named}-pytest-{pytest.__version__}.pyc is not what {FORGED} compiles to" in ran.stderr, ran.said
    assert not (tmp_path / "seen").exists()


UNCHECKED = (1).to_bytes(4, "little") + bytes(8)
"""What a compiled module says of its source where nobody is to look."""


def forge(
    checkout: Checkout, name: str, *, header: bytes = b"", of_python: bool = True, of_pytest: bool = True
) -> None:
    """Put compiled code beside a module that does what the module does, and leaves a trace: Python's, and pytest's own.

    `header` is what Python's says of its source: where it is left out, the source's own time and size.
    """
    source = checkout.path / name
    code = marshal.dumps(compile(f"{source.read_text(encoding='utf-8')}\n{SAYS}", str(source), "exec"))
    status = source.stat()
    by_time = bytes(4) + int(status.st_mtime).to_bytes(4, "little") + status.st_size.to_bytes(4, "little")
    by_hash = (3).to_bytes(4, "little") + importlib.util.source_hash(source.read_bytes())
    place = Path(importlib.util.cache_from_source(str(source)))
    place.parent.mkdir(exist_ok=True)
    if of_python:
        place.write_bytes(importlib.util.MAGIC_NUMBER + (header or by_time) + code)
    if of_pytest:
        tail = place.with_name(f"{place.stem}-pytest-{pytest.__version__}.pyc")
        tail.write_bytes(importlib.util.MAGIC_NUMBER + by_hash + code)
