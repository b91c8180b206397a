"""A refused start leaves a page: every gate that refused, what to do next, how to check it. Where nothing was judged of a request, nothing is left."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_deploy.errors import (
    DeployError,
    LeaseHeld,
    ManualInterventionRequired,
    Refused,
    RequestRefused,
    StoreUnavailable,
)
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record import events as contents
from pytest_deploy.record.clock import SystemClock, stamp
from pytest_deploy.record.event import Event, canonical
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.reports.refused_start import RefusedStart, render_refused_start, report_refusal, start_again
from pytest_deploy.workspace import Workspace
from tests.unit.record.sample_record import ACTOR, PERSON, HandClock, verdict
from tests.unit.reports import sample_runs
from tests.unit.reports.parsed_page import Element, parse
from tests.unit.reports.sample_runs import CHECKPOINT
from tests.unit.sample_environment import environment

AGAIN = "pytest --deploy-env=production --deploy-run=production-20261122T190000Z-0b5d"


def page_of(events: list[Event], again: str = AGAIN) -> Element:
    return parse(render_refused_start(events, checkpoint=CHECKPOINT, again=again))


# What the page says.


def test_the_gates_that_refused_the_newest_start_are_named_with_what_they_said_and_no_other() -> None:
    rows = {
        row.attributes["data-refused"]: row
        for row in page_of(sample_runs.refused_start()).all("tr")
        if "data-refused" in row.attributes
    }

    assert list(rows) == ["approvals", "window"]
    assert "approval missing: QA Lead" in rows["approvals"].text
    assert "Tech Lead" not in rows["approvals"].text, "what the start before it said is among the gates"
    assert "the window opens Monday 09:00" in rows["window"].text


def test_what_to_do_next_is_each_remedy_then_the_command() -> None:
    steps = [item.text.strip() for item in page_of(sample_runs.refused_start()).one("ol", id="to-do").all("li")]

    assert steps[0] == "approvals: pytest-deploy approve production-20261122T190000Z-0b5d"
    assert steps[1] == "window: time lifts it, from 2026-11-23 14:00:00.000 UTC on"
    assert steps[2].startswith("Then start it again, before 2026-11-23 20:15:06 UTC; every gate is asked anew:")
    assert AGAIN in steps[2]
    assert len(steps) == 3


def test_it_says_that_no_run_was_opened_and_how_long_the_request_lives() -> None:
    page = page_of(sample_runs.refused_start())

    assert page.one("h1").attributes["data-outcome"] == "refused"
    assert (
        "Release 1.4.0 was not deployed to production: it may not go now. Nothing was changed."
        in page.one("header").text
    )
    stands = page.one("p", id="stands").text
    assert (
        stands
        == "No run was opened. The request stays live until 2026-11-23 20:15:06 UTC: it may be started again as it is."
    )


def test_who_asked_who_started_and_who_had_signed_is_on_it() -> None:
    page = page_of(sample_runs.refused_start())

    facts = page.one("dl", class_="facts").text
    assert "Asked for bylocal:1000:ada@laptop" in facts
    assert "Started bylocal:1000:dora@desk" in facts
    assert [row.one("th").text for row in page.one("table", class_="signatures").one("tbody").all("tr")] == [
        "Tina Lead"
    ]


def test_every_verdict_of_each_start_is_among_the_gates_and_every_event_below() -> None:
    events = sample_runs.refused_start()
    page = page_of(events)

    asked = {int(one.attributes["data-verdict-of"]) for one in page.all("div") if "data-verdict-of" in one.attributes}
    assert asked == {event.seq for event in events if event.type.startswith("gate.")}
    assert [row.attributes["data-seq"] for row in page.one("table", id="raw").one("tbody").all("tr")] == [
        str(e.seq) for e in events
    ]


def test_a_request_that_drifted_says_what_differs_and_asks_for_a_new_plan() -> None:
    page = page_of(sample_runs.drifted(), again="pytest --deploy-env=production --deploy-pipeline=plan")

    assert page.one("h1").attributes["data-outcome"] == "voided"
    assert [item.text for item in page.one("ul", id="differences").all("li")] == [
        "commit was 5f1c, is 6a2d", "policy_sha256 was <c0>, is <c1>",
    ]  # fmt: skip
    assert "starts no run any more" in page.one("p", id="stands").text
    (step,) = page.one("ol", id="to-do").all("li")
    assert step.text.startswith("Plan anew, and have it approved:")
    assert [row for row in page.all("tr") if "data-refused" in row.attributes] == []


@pytest.mark.parametrize(
    "run, said", [("production-20261122T190000Z-0b5d", 0), ("rehearsal-production-20261122T190000Z-0b5d", 1)]
)
def test_a_rehearsal_says_that_it_is_one(run: str, said: int) -> None:
    page = page_of(sample_runs.refused_start(run))

    assert len(list(page.all("p", id="rehearsal"))) == said
    assert ("by the rehearsal's clock" in page.text) == bool(said)


def test_nothing_that_was_stated_becomes_markup() -> None:
    page = page_of(sample_runs.refused_start(version="<script>alert(1)</script>", reason="<b>now</b>"))

    assert len(list(page.all("script"))) == 1
    assert list(page.all("b")) == []


def test_without_a_request_there_is_nothing_to_refuse() -> None:
    with pytest.raises(ValueError, match=r"no request\.made"):
        page_of(sample_runs.refused_start()[1:])


# How it is started again.


def context(*sets: str, rehearsal: bool = False) -> RunContext:
    return RunContext(Workspace(Path("/x"), "production", rehearsal=rehearsal), "deploy", sets=sets)


def test_it_is_started_again_as_it_was_started() -> None:
    command = start_again(context('service.checks.lint=["true"]'), RefusedStart(sample_runs.refused_start()))

    assert command.replace(" \\\n  ", " ") == (
        "pytest --deploy-env=production '--deploy-set=service.checks.lint=[\"true\"]' "
        "--deploy-run=production-20261122T190000Z-0b5d"
    )


def test_a_rehearsal_is_started_again_when_time_refuses_no_more() -> None:
    command = start_again(context(rehearsal=True), RefusedStart(sample_runs.refused_start()))

    assert "--deploy-rehearse" in command
    assert "--deploy-at=2026-11-23T14:00:01Z" in command


def test_what_drifted_is_planned_anew() -> None:
    command = start_again(context(), RefusedStart(sample_runs.drifted()))

    assert command.endswith("--deploy-pipeline=plan")
    assert "--deploy-run" not in command


# What a refused start leaves in the store.


class Asked:
    """A rehearsed production with a request that waits."""

    def __init__(self, root: Path) -> None:
        self.held: Environment = environment(root, clock=HandClock(datetime.now(UTC)))
        self.plan, self.run = (new_run_id("production", self.held.system_clock, rehearsal=True) for _ in range(2))
        self.context = RunContext(self.held.workspace, "deploy", run=self.run, request=self.run)
        diff = b"+ column mood\n"
        RunFolder(self.held.log.store, self.plan).create("schema/planned.diff", diff)
        plan = {"run": self.plan, "schema_diff_sha256": hashlib.sha256(diff).hexdigest()}
        content = canonical({"run": self.run, "version": "1.3.0", "plan": plan, "migrations": []})
        RunFolder(self.held.log.store, self.run).create("request.json", content)
        self.add("request.made", {
            "request_sha256": hashlib.sha256(content).hexdigest(), "expires": stamp(SystemClock().now()), "requested_by": PERSON,
            "version": "1.3.0", "plan": self.plan,
        })  # fmt: skip

    def add(self, type_: str, data: dict[str, object]) -> None:
        self.held.log.append(contents.parse(type_, data), run=self.run, actor=ACTOR)

    def start(self, error: DeployError | None = None) -> list[str]:
        """A start that the approvals refuse; what is printed of it."""
        if error is None:
            self.add("gate.refused", verdict("approvals", "still-needed", reason="approval missing: QA Lead"))
            error = RequestRefused("1 gate of 1 refused")
        return [line for line, _ in report_refusal(self.held, self.context, error, took_s=1.23)]

    @property
    def pages(self) -> list[Path]:
        return sorted((self.held.workspace.run_folder(self.run) / "refused").glob("*"))

    def row(self) -> Element:
        page = parse((self.held.workspace.reports / "index.html").read_text(encoding="utf-8"))
        return page.one("tr", data_run=self.run)


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_a_refused_start_ends_with_its_code_its_page_the_anchor_and_how_to_verify(asked: Asked) -> None:
    lines = asked.start()

    (page,) = asked.pages
    assert page.name == f"{asked.held.log.run(asked.run)[-1].seq:08d}.html"
    assert lines == [
        "refused in 1.2 s · exit 1",
        f"report    {page.relative_to(asked.held.workspace.root).as_posix()}",
        f"anchor    {asked.held.log.checkpoint()}",
        "verify    pytest-deploy verify reports/rehearsal/production",
    ]
    assert "approval missing: QA Lead" in parse(page.read_text(encoding="utf-8")).one("table", id="refusals").text


def test_the_index_links_the_newest_page_of_a_request_that_never_ran(asked: Asked) -> None:
    asked.start()
    first = asked.row().one("a").attributes["href"]
    asked.start()
    second = asked.row().one("a").attributes["href"]

    assert [first, second] == [page.relative_to(asked.held.workspace.reports).as_posix() for page in asked.pages]
    assert asked.row().attributes["data-outcome"] == "refused"


@pytest.mark.parametrize(
    "error, line",
    [
        (Refused("the tree has uncommitted changes"), "refused in 1.2 s · exit 1"),
        (LeaseHeld("another run holds it"), "refused in 1.2 s · exit 1"),
        (ManualInterventionRequired("a run was left open"), "not started in 1.2 s · exit 20"),
        (StoreUnavailable("the disk is full"), "not started in 1.2 s · exit 3"),
    ],
)
def test_where_nothing_was_judged_of_a_request_nothing_is_written(asked: Asked, error: DeployError, line: str) -> None:
    before = sorted(asked.held.workspace.reports.rglob("*"))

    assert asked.start(error) == [line]
    assert before == sorted(asked.held.workspace.reports.rglob("*"))


def test_a_page_that_cannot_be_rendered_is_said_and_the_refusal_stands(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    path = asked.held.workspace.run_folder(asked.run) / "request.json"
    path.chmod(0o644)
    path.write_bytes(b"{}")

    lines = asked.start()

    assert lines[:2] == ["refused in 1.2 s · exit 1", "report    could not be rendered"]
    assert "is not the file the record names" in capsys.readouterr().err
    assert asked.pages == []
    assert (asked.row().attributes["data-outcome"], list(asked.row().all("a"))) == ("refused", [])


def test_secrets_are_cut_from_the_page_too(asked: Asked) -> None:
    asked.add("gate.passed", verdict("clock", "passed", reason="told by hunter2hunter2"))
    asked.held.secrets.learn("PASSWORD", "hunter2hunter2")

    asked.start()

    assert "hunter2hunter2" not in asked.pages[0].read_text(encoding="utf-8")
