"""A plan as Markdown: what people need before they sign, whatever others wrote into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.migrate.migration import Migration, Section
from pytest_deploy.migrate.trial_result import Trial, TrialStep
from pytest_deploy.platform.infrastructure import Change, Preview, StackState
from pytest_deploy.release.infrastructure import PlannedInfrastructure
from pytest_deploy.reports.plan_summary import LARGEST_BYTES, Planned, plan_summary
from tests.unit.reports.sample_runs import COMMIT, IMAGE, RunBuilder

REQUEST_SHA = "7d" * 32
SQL = "alter table visit add column note text;\n"
COMMANDS = ("pytest-deploy approve staging-20261122T201500Z-0a0b",)


def request(**changes: Any) -> dict[str, Any]:
    return {
        "run": "staging-20261122T201500Z-0a0b", "environment": "staging", "commit": COMMIT, "artefact": {"image": IMAGE},
        "authors": ["ann@example.org"], "expires": "2026-11-23T20:15:00.000Z",
        "earlier": {"release": {"version": "1.3.0"}, "migrations": ["0001"]},
        "migrations": [{"version": "0001", "name": "visit", "sha256": "01" * 32}, {"version": "0002", "name": "note", "sha256": "02" * 32}],
        **changes,
    }  # fmt: skip


def migration(sql: str = SQL, **changes: Any) -> Migration:
    path = Path("migrations/0002_note.sql")
    up, down = Section(sql, path, 2), Section("alter table visit drop column note;\n", path, 5)
    known: dict[str, Any] = {"sha256": "02" * 32, "compatible": "expand", "lossy": "notes go"}
    return Migration("0002", "note", path, up, down, **{**known, **changes})


def trial(**changes: Any) -> Trial:
    step = TrialStep("0002", "02" * 32, 0.25, 0.5, ("2 rows of public.visit (note)",), **changes)
    return Trial((step,), "b", "a", 0.25, 3.0, (), within_budget=True, where="server", why="PostgreSQL 18")


DIFFERENCE = (
    "-- 0002 took 0.250 s\n-- locks public.visit: AccessExclusiveLock\n--- now\n+++ after\n"
    '+column public.visit 0002 {"name": "note", "type": "text", "local": true}\n'
)


def planned(*, made: bool = True, **changes: Any) -> Planned:
    builder = RunBuilder("staging-20261122T201500Z-4f1c")
    builder.opened(environment="staging", pipeline="plan")
    decision: dict[str, Any] = {
        "cause": None,
        "owed": ["approval missing: QA Lead"],
        "earliest_start": "2026-11-23T14:00:00.000Z",
    }
    if made:
        builder.decided("still-needed", **decision, request="staging-20261122T201500Z-0a0b")
    else:
        failed = {"test_x.py::test_lint_passes": {"outcome": "failed", "message": "ruff: 2 errors\nmore"}}
        builder.phase("build", failed)
        builder.decided("failed", "build failed")
    known: dict[str, Any] = {
        "request": request() if made else None,
        "request_sha256": REQUEST_SHA if made else "",
        "trial": trial(),
        "difference": DIFFERENCE,
    }
    return Planned(builder.run, builder.events, **{**known, **changes})


def test_it_says_what_goes_what_it_does_and_what_is_still_needed() -> None:
    said = plan_summary(planned(), [migration()], COMMANDS)

    assert f"| commit | `{COMMIT}` |" in said
    assert f"| artefact | `{IMAGE}` |" in said
    assert f"digest begins `{REQUEST_SHA[:12]}`" in said
    assert "| replaces | `1.3.0` |" in said
    assert "- `approval missing: QA Lead`" in said
    assert "Earliest start: `2026-11-23 14:00:00 UTC`" in said
    assert "<summary>0002 note</summary>" in said
    assert "0001" not in said, "it is applied"
    assert "- up 0.250 s, down 0.500 s" in said
    assert "- its way back takes `2 rows of public.visit (note)`" in said
    assert "- declared lossy: `notes go`" in said
    assert f"```sql\n{SQL}```" in said
    assert "- `locks public.visit: AccessExclusiveLock`" in said
    assert "+ column public.visit.note text" in said
    assert f"```\n{COMMANDS[0]}\n```" in said


def test_a_plan_that_failed_says_why_and_that_there_is_no_request() -> None:
    said = plan_summary(planned(made=False), [migration()], ())

    assert "| request | none was made |" in said
    assert "- `lint passes: ruff: 2 errors more`" in said
    assert "### Next" not in said


def test_infrastructure_is_shown_as_a_difference() -> None:
    changes = tuple(
        Change(f"urn:pulumi:production::diary::gcp:storage/bucket:Bucket::{name}", operation, "gcp:storage/bucket:Bucket", paths)
        for name, operation, paths in (("uploads", "create", ()), ("old", "delete", ()), ("record", "update", ("labels",)))
    )  # fmt: skip
    found = PlannedInfrastructure(Preview(changes), StackState({changes[2].urn: "a" * 64}))

    said = plan_summary(planned(request=request(infrastructure=found.to_json())), [migration()], ())

    assert "+ create gcp:storage/bucket:Bucket uploads" in said
    assert "- delete gcp:storage/bucket:Bucket old" in said
    assert "! update gcp:storage/bucket:Bucket record (labels)" in said
    assert f"Preview `{found.preview.digest[:12]}`" in said


def test_where_no_infrastructure_is_changed_that_is_said() -> None:
    nothing = PlannedInfrastructure(Preview(()), StackState({"urn": "a" * 64})).to_json()

    assert "None is changed" in plan_summary(planned(), [migration()], ())
    assert "The stack stays as it is (1 resources)" in plan_summary(
        planned(request=request(infrastructure=nothing)), [migration()], ()
    )
    assert "Not known: the plan made no request." in plan_summary(planned(made=False), [migration()], ())


def test_a_request_that_could_not_be_made_is_no_plan_that_needs_nothing() -> None:
    builder = RunBuilder("staging-20261122T201500Z-4f1c")
    builder.opened(environment="staging", pipeline="plan")
    builder.decided("not-passed", "the request could not be made: operations are pending")

    said = plan_summary(Planned(builder.run, builder.events, None, "", None, ""), [], ())

    assert "- `the request could not be made: operations are pending`" in said


@pytest.mark.parametrize("expires, shown", [("2026-11-23T14:00:01.000Z", True), ("2026-11-23T14:00:00.000Z", False)])
def test_nothing_is_to_be_typed_for_a_request_that_expires_before_it_can_start(expires: str, *, shown: bool) -> None:
    said = plan_summary(planned(request=request(expires=expires)), [migration()], COMMANDS)

    assert shown == (COMMANDS[0] in said)
    assert shown != ("Nothing to sign or to run: the request expires before it can start." in said)


def test_of_a_file_with_other_bytes_no_sql_is_shown() -> None:
    said = plan_summary(planned(), [migration(sha256="03" * 32)], ())

    assert "its file is not here with the planned bytes (SHA-256 `020202020202`)" in said
    assert SQL.strip() not in said


@pytest.mark.parametrize(
    "hostile",
    [
        "@everyone `x` <img src=x>",
        "```\n# forged\n",
        "a | b | c",
        "[x](https://evil.example) ``",
        "\x1b[2J\u202eevil",
        "",
    ],
)
def test_what_others_wrote_is_code_and_ends_no_block(hostile: str) -> None:
    about = request(authors=[hostile])
    told = planned(request=about, trial=trial(without_rows=(hostile,)))
    said = plan_summary(told, [migration(sql=f"select 1;\n{hostile}\n", lossy=hostile or "x")], [hostile])

    assert "\x1b" not in said
    assert "\u202e" not in said
    outside, fence = [], ""
    for line in said.splitlines():
        marks = line[: len(line) - len(line.lstrip("`"))]
        if not fence and len(marks) >= 3:
            fence = marks
        elif fence and line == fence:
            fence = ""
        elif not fence:
            outside.append(line)
    assert not fence
    assert "# forged" not in outside
    assert [line for line in outside if "<img" in line] == [
        line for line in outside if "`" in line and "<img" in line
    ], "markup stands inside of code alone"
    table = [line for line in outside if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") == 3 for line in table)


def test_what_is_longer_than_a_comment_is_cut_and_says_so() -> None:
    long = [migration(sql=f"select '{'x' * 900}';\n" * 200)]

    said = plan_summary(planned(), long, COMMANDS)

    assert len(said.encode()) <= LARGEST_BYTES + 300
    assert "**Cut here**: the whole has " in said
    assert said.count("```") % 2 == 0, "no block is left open"
    assert said.count("<details>") == said.count("</details>"), "and the note is in none"
    assert "**Cut here**" not in plan_summary(planned(), [migration()], COMMANDS)
