"""The pages in a real Chromium without a network: they ask nobody anything, complain of nothing, fit, and obey the keyboard."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.event import Event
from pytest_deploy.reports.index import IndexRow, index_row, render_index
from pytest_deploy.reports.refused_start import RefusedStart, render_refused_start, start_again
from pytest_deploy.reports.run_page import PageFiles, render_run
from pytest_deploy.workspace import Workspace
from tests.chromium import Tab, browse
from tests.unit.reports import sample_runs
from tests.unit.reports.post_run_events import FAILED, LEFT, acceptance, after, amendment
from tests.unit.reports.sample_runs import CHECKPOINT

WIDTHS = (360, 820, 1440)
OUTSIDE = """[...document.querySelectorAll('*')].filter((e) => !e.closest('.wide, pre, .skip, thead')
  && e.getBoundingClientRect().right > %d + 1).map((e) => e.outerHTML.slice(0, 80))"""
SEEN = "[...document.getElementById('%s').tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].innerText)"
TYPE = """(() => { const field = document.getElementById('find'); field.value = %r; field.dispatchEvent(new Event('input')); })()"""


def index() -> str:
    line = index_row(sample_runs.deployed(), "local/runs/x/report.html")
    assert line is not None
    earlier: IndexRow = replace(line, run="earlier", opened=line.opened - timedelta(days=2), duration_s=700.0)
    return render_index([line, earlier, replace(line, run="failed", outcome="failed", duration_s=1.5)])


def signed_since() -> str:
    """The current report of a run whose deviations were accepted and whose values were amended, in many words."""
    events = sample_runs.rolled_back()
    words = "known: the account of the smoke test had run out; it was renewed, and the release goes again tomorrow"
    opened, decided = events[0], events[-1]
    said = [
        *(acceptance(FAILED, words), acceptance(LEFT, words)),
        *(
            amendment(opened, "commit", "6" * 40),
            amendment(opened, "python", "3.12.1"),
            amendment(decided, "cause", words),
        ),
    ]
    return render_run(events, checkpoint=CHECKPOINT, after=after(events, *said))


def refused(events: list[Event]) -> str:
    sets = tuple(f'service.checks.{name}=["true"]' for name in ("lint", "types", "tests"))
    again = start_again(
        RunContext(Workspace(Path("/x"), "production", rehearsal=True), "deploy", sets=sets), RefusedStart(events)
    )
    return render_refused_start(events, checkpoint=CHECKPOINT, again=again)


PAGES: dict[str, str] = {
    "deployed": render_run(sample_runs.deployed(), checkpoint=CHECKPOINT),
    "rolled back": render_run(sample_runs.rolled_back(), checkpoint=CHECKPOINT),
    "current": render_run(
        sample_runs.approved(),
        checkpoint=CHECKPOINT,
        files=PageFiles(plan=tuple(sample_runs.planned())),
        after=sample_runs.post_run(sample_runs.approved()),
    ),
    "signed since": signed_since(),
    "refused start": refused(sample_runs.refused_start("rehearsal-production-20261122T190000Z-0b5d")),
    "request void": refused(sample_runs.drifted()),
    "index": index(),
}


async def _looked_at(tab: Tab, place: Path) -> dict[str, Any]:
    """All that is asked of every page, in one visit."""
    found: dict[str, Any] = {}
    await tab.open(place)
    for width in WIDTHS:
        for dark in (False, True):
            await tab.look(width, dark=dark)
            found[f"outside at {width}{', dark' * dark}"] = await tab.ask(OUTSIDE % width)
    await tab.press("Tab")
    found["first focus"] = await tab.ask("document.activeElement.className")
    await tab.press("Enter")
    found["skipped to"] = await tab.ask("location.hash")
    found["landmarks"] = await tab.ask(
        "['header', 'main'].map((name) => document.querySelectorAll(`body > ${name}`).length)"
    )
    found["unnamed"] = await tab.ask(
        "[...document.querySelectorAll('svg:not([aria-hidden])')].filter((e) => !e.querySelector('title')?.textContent).length"
    )
    found["colours"] = [
        await _background(tab, dark=False),
        await _background(tab, dark=True),
    ]
    found["requests"], found["complaints"] = tab.requests, tab.complaints
    return found


async def _background(tab: Tab, *, dark: bool) -> str:
    await tab.look(1440, dark=dark)
    return str(await tab.ask("getComputedStyle(document.documentElement).backgroundColor"))


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Each page looked at, one after the other in one Chromium."""
    places = {name: tmp_path_factory.mktemp("pages") / "page.html" for name in PAGES}
    for name, place in places.items():
        place.write_text(PAGES[name], encoding="utf-8")

    async def act(tab: Tab) -> dict[str, dict[str, Any]]:
        return {name: {"address": place.as_uri(), **await _looked_at(tab, place)} for name, place in places.items()}

    return browse(act)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_alone_fits_every_width_and_can_be_walked_by_keyboard(
    visits: dict[str, dict[str, Any]], name: str
) -> None:
    found = visits[name]

    assert found["requests"] == [found["address"]], "the page itself and nothing else"
    assert found["complaints"] == []
    assert {key: outside for key, outside in found.items() if key.startswith("outside") and outside} == {}
    assert (found["first focus"], found["skipped to"]) == ("skip", "#main")
    assert found["landmarks"] == [1, 1]
    assert found["unnamed"] == 0
    light, dark = found["colours"]
    assert light != dark


def test_nothing_is_wider_than_a_sheet_of_a4_for_which_all_would_be_printed_smaller(tmp_path: Path) -> None:
    """178 mm between the margins are 673 px; a sheet of Letter is wider."""
    place = tmp_path / "page.html"

    async def act(tab: Tab) -> dict[str, Any]:
        found = {}
        for name in PAGES.keys() - {"index"}:
            place.write_text(PAGES[name], encoding="utf-8")
            await tab.open(place)
            await tab.look(673)
            await tab.send("Emulation.setEmulatedMedia", media="print")
            found[name] = await tab.ask(OUTSIDE.replace(".wide, pre, .skip, thead", ".skip") % 673)
        return found

    assert {name: outside for name, outside in browse(act).items() if outside} == {}


def test_rows_are_found_and_sorted_by_their_columns(tmp_path: Path) -> None:
    place = tmp_path / "index.html"
    place.write_text(PAGES["index"], encoding="utf-8")

    async def act(tab: Tab) -> dict[str, Any]:
        await tab.open(place)
        found = {"first": await tab.ask(SEEN % "runs")}
        click = "document.querySelectorAll('#runs thead button')[5].click()"
        for name in ("ascending", "descending"):
            await tab.ask(click)
            found[name] = await tab.ask(
                "[...document.querySelectorAll('#runs tbody tr')].map((row) => row.dataset.run)"
            )
            assert await tab.ask("document.querySelectorAll('#runs thead th')[5].getAttribute('aria-sort')") == name
        await tab.ask(TYPE % "FAILED local")
        found["filtered"] = await tab.ask(SEEN % "runs")
        found["count"] = await tab.ask("document.getElementById('runs-count').textContent")
        return found

    found = browse(act)

    assert len(found["first"]) == 3
    assert found["ascending"] == ["failed", "local-20261122T201500Z-4f1c", "earlier"]
    assert found["descending"] == list(reversed(found["ascending"]))
    assert len(found["filtered"]) == 1
    assert "1 of 3" in found["count"]


def test_without_scripts_every_row_is_there_and_nothing_asks_for_one(tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    place.write_text(PAGES["deployed"], encoding="utf-8")

    async def act(tab: Tab) -> Any:
        await tab.send("Emulation.setScriptExecutionDisabled", value=True)
        await tab.open(place)
        return await tab.ask(
            "[document.getElementById('raw').tBodies[0].rows.length, document.querySelector('.search').offsetHeight,"
            " document.querySelectorAll('thead button').length]"
        )

    assert browse(act) == [len(sample_runs.deployed()), 0, 0]


def test_a_page_that_asks_somebody_or_complains_is_noticed(tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    place.write_text("<img src='https://example.org/x.png'><script>console.error('no')</script>", encoding="utf-8")

    async def act(tab: Tab) -> tuple[list[str], list[str]]:
        await tab.open(place)
        await tab.ask("1")
        return tab.requests, tab.complaints

    requests, complaints = browse(act)

    assert "https://example.org/x.png" in requests
    assert any("'no'" in one for one in complaints)
