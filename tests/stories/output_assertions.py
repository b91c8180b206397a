"""Terminal, report, junit.xml, pytest.html, Allure, statement, history and index say the same of a run, step by step, and no more than its events.

Four results, none folded into another: passed, failed (a gate's refusal is its step's failure), still-needed, not-applicable; and
not-run. Green is what passed, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.record.event import Event
from tests.project_checkout import Checkout
from tests.stories.step_ids import phase_of
from tests.unit.reports.parsed_page import Element, parse
from tests.written_reports import in_allure, in_junit, in_pytest_html

COLOURED: Final = "--color=yes"
"""A run that is watched so shows its colours."""
GREEN: Final = "\x1b[32m"
MARKS: Final = {"✓": "passed", "✗": "failed", "◷": "still-needed", "·": "not-applicable"}
STATEMENT_RESULTS: Final = {
    "deployed": {"PASSED", "WARNED"},
    "passed": {"PASSED", "WARNED"},
    "still-needed": {"WARNED"},
    "refused": {"FAILED"},
    "rolled-back": {"FAILED"},
    "not-passed": {"FAILED"},
}
"""What statement.json may call a run of each outcome: its format knows three results."""

_STEP: Final = re.compile(r"  (?P<mark>[✓✗◷·]) (?P<title>.+?)  (?:(?P<words>still needed|not applicable)  )?[\d.]+ s")
_HEAD: Final = re.compile(r"(?P<phase>[a-z]+)  \d+ steps? · .+")
_NOT_RUN: Final = re.compile(r"  ○ (?P<phase>[a-z]+): (?P<count>\d+) steps? not run · .+")
_PHASE_END: Final = re.compile(
    r"  (?P<phase>[a-z]+) (?P<words>passed in|failed after|is still needed, after|was not applicable, after|had nothing to run, after) [\d.]+ s"
)
_PHASE_ENDS: Final = {
    "passed in": "passed",
    "failed after": "failed",
    "is still needed, after": "still-needed",
    "was not applicable, after": "not-applicable",
    "had nothing to run, after": "not-run",
}
_DECIDED: Final = re.compile(r"(?P<outcome>[a-z-]+) in [\d.]+ s · exit \d+")
_COUNTS: Final = re.compile(r"=+ (?P<counts>.+) in [\d.]+s.* =+")


def assert_outputs_agree(checkout: Checkout, run: str, terminal: str) -> None:
    """Every output of a sealed run against its events. `terminal`: what it printed, in colour."""
    events = checkout.events(run)
    folder = checkout.run_folder(run)
    steps = results(events)
    assert len(steps) > 20, "a run of so few steps shows nothing"
    _assert_gates_are_steps(events, steps)
    assert in_junit(folder / "junit.xml") == steps
    assert in_pytest_html(folder / "pytest.html") == steps
    assert in_allure(folder / "allure-results") == steps
    _assert_statement(folder / "statement.json", steps, _outcome(events))
    _assert_terminal(checkout, terminal, events, steps)
    _assert_report(parse((folder / "report.html").read_text(encoding="utf-8")), events, checkout.events(), steps)
    _assert_listed(checkout, run, _outcome(events))


def results(events: list[Event]) -> dict[str, str]:
    """By node id, as the events have it. Fails where a step has two."""
    told = [event.data for event in events if event.type in {"step.finished", "step.not-run"}]
    found = {data["nodeid"]: data.get("outcome", "not-run") for data in told}
    assert len(found) == len(told), "a step ended twice"
    return {nodeid: "failed" if outcome in {"error", "skipped"} else outcome for nodeid, outcome in found.items()}


def _outcome(events: list[Event]) -> str:
    (decided,) = (event.data for event in events if event.type == "run.decided")
    return str(decided["outcome"])


def _phases(events: list[Event]) -> dict[str, str]:
    return {event.data["phase"]: event.data["outcome"] for event in events if event.type == "phase.finished"}


def _assert_gates_are_steps(events: list[Event], steps: Mapping[str, str]) -> None:
    """What a gate said to its step is how the step ended; a plan alone goes on after what is still needed."""
    (opened,) = (event for event in events if event.type == "run.opened")
    ends = {"passed": "passed", "not-applicable": "not-applicable", "refused": "failed"}
    ends["still-needed"] = "still-needed" if opened.data["pipeline"] == "plan" else "failed"
    asked = 0
    for event in events:
        if event.seq > opened.seq and event.type.startswith("gate.") and event.data["point"] in {"plan", "lease"}:
            name = f"test_{event.data['gate'].replace('-', '_')}"
            (ended,) = (end for nodeid, end in steps.items() if nodeid.endswith(f"::{name}"))
            assert ended == ends[event.data["verdict"]], (event.data, ended)
            asked += 1
    assert asked > 5, "a run that asked so few gates shows nothing"


def _assert_statement(file: Path, steps: Mapping[str, str], outcome: str) -> None:
    """Passed and failed steps stand in its lists, the other two among the configuration, what was not run nowhere."""
    predicate = json.loads(file.read_bytes())["predicate"]
    found = dict.fromkeys([*predicate["passedTests"], *predicate["warnedTests"]], "passed")
    found |= dict.fromkeys(predicate["failedTests"], "failed")
    for one in predicate["configuration"]:
        found |= dict.fromkeys(one.get("annotations", {}).get("steps", ()), one["name"].removesuffix(" steps"))
    assert found == {nodeid: end for nodeid, end in steps.items() if end != "not-run"}
    assert predicate["result"] in STATEMENT_RESULTS[outcome]


# --- the terminal


def _assert_terminal(checkout: Checkout, terminal: str, events: list[Event], steps: Mapping[str, str]) -> None:
    lines = [(_plain(line), GREEN in line) for line in terminal.splitlines()]
    lock = steps_lock.read(checkout.path / "suites" / "steps.lock")
    always = {step.nodeid for step in lock if step.when == "always"}
    # 1. Step by step: its mark, its words, its colour. Of what a rollback did not need nothing is said.
    shown: dict[tuple[str, str], str] = {}
    unrun: Counter[str] = Counter()
    phases: dict[str, str] = {}
    greens = 0
    phase = ""
    for line, green in lines:
        if head := _HEAD.fullmatch(line):
            phase = head["phase"]
        elif step := _STEP.fullmatch(line):
            ended = MARKS[step["mark"]]
            assert (step["words"] or "").replace(" ", "-") == (
                ended if ended in {"still-needed", "not-applicable"} else ""
            )
            assert green == (ended == "passed"), line
            shown[phase, step["title"]] = ended
            greens += green
        elif end := _PHASE_END.fullmatch(line):
            phases[end["phase"]] = _PHASE_ENDS[end["words"]]
            assert green == (phases[end["phase"]] == "passed"), line
            greens += green
        elif left := _NOT_RUN.fullmatch(line):
            unrun[left["phase"]] += int(left["count"])
    ran = {(phase_of(nodeid), title_of(nodeid)): end for nodeid, end in steps.items() if end != "not-run"}
    assert shown == ran
    assert unrun == Counter(phase_of(n) for n, end in steps.items() if end == "not-run" and n in always)
    assert phases == {name: end for name, end in _phases(events).items() if name in {phase for phase, _ in ran}}
    # 2. The end of the run, and pytest's own count.
    ((outcome, green),) = ((m["outcome"], green) for line, green in lines if (m := _DECIDED.fullmatch(line)))
    assert (outcome, green) == (_outcome(events), _outcome(events) in {"deployed", "passed"})
    ((counts, raw),) = (
        (m["counts"], line)
        for line in terminal.splitlines()
        if (m := _COUNTS.fullmatch(_plain(line))) and re.search(r"\d (passed|failed)", m["counts"])
    )
    counted = {words: int(number) for number, words in re.findall(r"(\d+) ([a-z ]+)", counts)}
    assert counted == Counter(end.replace("-", " ") for end in steps.values())
    all_passed = set(steps.values()) == {"passed"}
    assert raw.startswith(GREEN) == all_passed, "pytest's last line is green where every step passed"
    # 3. Nothing else is green: pytest's count of what passed is, the run's last line, steps and phases.
    assert sum(green for _, green in lines) == greens + green + (GREEN in raw)


def _plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


# --- the report


def _assert_report(page: Element, events: list[Event], log: list[Event], steps: Mapping[str, str]) -> None:
    outcome = _outcome(events)
    # 1. Step by step, phase by phase, the run.
    told = {row.attributes["data-nodeid"]: row for row in page.all("tr") if "data-nodeid" in row.attributes}
    assert {nodeid: row.attributes["data-outcome"].replace("error", "failed") for nodeid, row in told.items()} == steps
    for row in told.values():
        assert row.one("span", class_="outcome").attributes["class"] == f"outcome {row.attributes['data-outcome']}"
    timeline = {
        row.attributes["data-phase"]: row for row in page.one("table", class_="timeline").all("tr") if row.attributes
    }
    finished = _phases(events)
    for name, row in timeline.items():
        assert row.attributes["data-outcome"] == finished.get(name, "not-run")
        for bar in row.all("rect"):
            kinds = bar.attributes["class"].split()
            titles = [child.text for child in bar.all("title")]
            ended = steps[_nodeid(steps, name, titles[0])] if titles else finished[name]
            assert kinds[-1].replace("error", "failed") == ended, (name, titles)
    assert page.one("h1", id="outcome").attributes["class"] == f"outcome {outcome}"
    # 2. Each gate, each time it was asked, also by the run's plan; each assertion.
    asked = _asked(events, log)
    shown = {int(one.attributes["data-verdict-of"]): one for one in page.all("div", class_="asking")}
    assert {seq: one.attributes["data-verdict"] for seq, one in shown.items()} == {
        seq: said for seq, (_, _, said) in asked.items()
    }
    newest = {(gate, point): said for gate, point, said in asked.values()}
    for row in page.one("table", class_="gates").all("tr"):
        for cell in row.all("td"):
            if point := cell.attributes.get("data-point"):
                said = newest.get((row.attributes["data-gate"], point), "\N{EN DASH}")
                assert cell.text == said.replace("-", " "), (row.text, point)
    ends = [event.data for event in events if event.type == "step.finished"]
    failed = {claim for data in ends if data["outcome"] in {"failed", "error"} for claim in data.get("claims", ())}
    credited = {claim for data in ends for claim in data["verifies"]} - failed
    matrix = {row.attributes["data-assertion"]: row for row in page.all("tbody") if "data-assertion" in row.attributes}
    assert {name for name, row in matrix.items() if row.attributes["data-outcome"] == "verified"} == credited
    # 3. Nothing is green but these.
    expected = {
        "steps": sum(end == "passed" for end in steps.values()),
        "phases, in the timeline and as headings": 2 * sum(end == "passed" for end in finished.values()),
        "gates, as a table": sum(said == "passed" for said in newest.values()),
        "gates, each time": sum(said == "passed" for _, _, said in asked.values()),
        "assertions": len(credited),
        "the run": int(outcome in {"deployed", "passed"}),
    }
    green = [one for one in page.all(class_="outcome") if {"passed", "verified", "deployed"} & set(_classes(one))]
    assert len(green) == sum(expected.values()), expected


def _classes(element: Element) -> list[str]:
    return element.attributes["class"].split()


def _nodeid(steps: Mapping[str, str], phase: str, title: str) -> str:
    (nodeid,) = (nodeid for nodeid in steps if phase_of(nodeid) == phase and title_of(nodeid) == title)
    return nodeid


def _asked(events: list[Event], log: list[Event]) -> dict[int, tuple[str, str, str]]:
    """Gate, point and verdict by event, of the plan that made the run's request and of the run; at the lease again is preflight."""
    found: dict[int, tuple[str, str, str]] = {}
    plans = [event.data["plan"] for event in events if event.type == "request.made" and event.data.get("plan")]
    for run in [*plans, events[0].run]:
        of_run = [event for event in log if event.run == run]
        opened = next(event.seq for event in of_run if event.type == "run.opened")
        for event in of_run:
            if event.type.startswith("gate."):
                point = event.data["point"]
                point = "preflight" if point == "lease" and event.seq > opened else point
                found[event.seq] = (event.data["gate"], point, event.data["verdict"])
    return found


# --- the listings


def _assert_listed(checkout: Checkout, run: str, outcome: str) -> None:
    """History's row and the index's are as the run was decided."""
    words = ("history", "--format", "json", "--limit", "0", *(["--rehearse"] if checkout.rehearsal else []))
    told = checkout.deploy_py(*words)
    assert told.code == 0, told.said
    (row,) = (row for row in json.loads(told.stdout)["runs"] if row["run"] == run)
    assert row["outcome"] == outcome
    index = parse((checkout.path / "reports" / "index.html").read_text(encoding="utf-8"))
    listed = index.one("tr", data_run=run)
    assert listed.attributes["data-outcome"] == outcome
    assert _classes(next(listed.all("span", class_="outcome"))) == ["outcome", outcome]
