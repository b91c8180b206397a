"""pytest-html's own page in a real Chromium: what a step is called runs no script in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.reports.others_page import with_policy
from tests.child_process import environ_without_pytest
from tests.chromium import Tab, browse

STEPS = """
import pytest

@pytest.mark.parametrize("v", ["<img src=x onerror=document.title='PWNED'>", "<script>document.title='PWNED'</script>", "plain"])
def test_one(v):
    assert v == "plain"
"""
WRITERS = """
from pytest_deploy.plugin.report_writers import Labels

def pytest_configure(config):
    config.pluginmanager.register(Labels({"run": "local-1"}))
"""
SEEN = "[document.title, document.querySelectorAll('td.col-testId').length, document.querySelectorAll('td.col-testId *').length]"


@pytest.fixture(params=["escaped", "as pytest-html writes it"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    (tmp_path / "test_one.py").write_text(STEPS)
    if request.param == "escaped":
        (tmp_path / "conftest.py").write_text(WRITERS)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--html=page.html",
        "--self-contained-html",
        "-p",
        "no:cacheprovider",
    ]
    subprocess.run(words, cwd=tmp_path, env=environ_without_pytest(), capture_output=True, check=False, timeout=60)
    return (tmp_path / "page.html").read_bytes()


def test_no_script_but_its_own_runs_and_it_still_lists_its_steps(page: bytes, tmp_path: Path) -> None:
    sealed = tmp_path / "sealed.html"
    sealed.write_bytes(with_policy(page))

    async def look(tab: Tab) -> Any:
        await tab.open(sealed)
        return await tab.ask(SEEN), tab.requests

    (title, rows, _), requests = browse(look)

    assert "PWNED" not in title
    assert rows == 3
    assert [asked for asked in requests if not asked.startswith(("file:", "data:"))] == []


def test_a_step_s_id_is_escaped_before_it_is_written(
    tmp_path: Path, page: bytes, request: pytest.FixtureRequest
) -> None:
    bare = tmp_path / "bare.html"
    bare.write_bytes(page)

    async def look(tab: Tab) -> Any:
        await tab.open(bare)
        return await tab.ask(SEEN)

    title, _, elements = browse(look)

    escaped = request.node.callspec.params["page"] == "escaped"
    assert (elements == 0) == escaped, "without it there is one: else nothing is shown"
    assert ("PWNED" in title) != escaped


def test_a_script_that_is_not_the_writers_own_is_not_let_run(page: bytes, tmp_path: Path) -> None:
    """The page is the judged run's: what lies in it does not say what may run in it."""
    sealed = tmp_path / "sealed.html"
    sealed.write_bytes(with_policy(page.replace(b"<body", b"<script>document.title='PWNED'</script><body", 1)))

    async def look(tab: Tab) -> Any:
        await tab.open(sealed)
        return await tab.ask(SEEN)

    title, rows, _ = browse(look)

    assert "PWNED" not in title
    assert rows == 3


def test_a_page_without_a_head_is_no_page() -> None:
    with pytest.raises(ValueError, match="has no <head>"):
        with_policy(b"<p>text</p>")
