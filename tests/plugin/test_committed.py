"""Where only commits are deployed, nothing runs that the commit does not hold; tried on real child sessions, before anything is opened."""

from __future__ import annotations

import importlib.util
import marshal
import shutil
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
    shutil.rmtree((opened.path / FORGED).parent / "__pycache__", ignore_errors=True)
    (opened.path / ".git" / "info" / "exclude").write_text("")


def start(checkout: Checkout, tmp_path: Path) -> Ran:
    return checkout.run(*PRODUCTION, env={"XDG_CACHE_HOME": str(tmp_path / "cache"), "SEEN": str(tmp_path / "seen")})


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


@pytest.mark.parametrize(
    "change",
    [
        an_ignored_conftest,
        an_ignored_module_of_the_root,
        one_byte_that_git_does_not_see,
        an_uncommitted_policy,
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


def test_a_compiled_module_of_another_source_is_not_read(checkout: Checkout, tmp_path: Path) -> None:
    """Its time, its size and its hash are those of the source, so that Python and pytest would take it."""
    forge(checkout, FORGED)
    assert not (tmp_path / "seen").exists()
    local = checkout.run("--deploy-env=local", "--deploy-run=x", env={"SEEN": str(tmp_path / "seen")})
    assert (tmp_path / "seen").exists(), f"Python does not take it: nothing is shown\n{local.said}"
    (tmp_path / "seen").unlink()

    ran = start(checkout, tmp_path)

    assert NO_REQUEST in ran.stderr, ran.said
    assert not (tmp_path / "seen").exists()


def forge(checkout: Checkout, name: str) -> None:
    """Put compiled code beside a module that does what the module does, and leaves a trace: Python's, and pytest's own."""
    source = checkout.path / name
    code = marshal.dumps(compile(f"{source.read_text(encoding='utf-8')}\n{SAYS}", str(source), "exec"))
    status = source.stat()
    by_time = bytes(4) + int(status.st_mtime).to_bytes(4, "little") + status.st_size.to_bytes(4, "little")
    by_hash = (3).to_bytes(4, "little") + importlib.util.source_hash(source.read_bytes())
    place = Path(importlib.util.cache_from_source(str(source)))
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(importlib.util.MAGIC_NUMBER + by_time + code)
    of_pytest = place.with_name(f"{place.stem}-pytest-{pytest.__version__}.pyc")
    of_pytest.write_bytes(importlib.util.MAGIC_NUMBER + by_hash + code)
