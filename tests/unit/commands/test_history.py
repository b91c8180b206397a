"""`deploy.py history` and `show`, as they are typed and as docs/history.md prints them."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_deploy.cli import app
from pytest_deploy.errors import UsageError
from tests.scale.generated_record import generate

TEXT = (Path(__file__).parents[3] / "docs" / "history.md").read_text(encoding="utf-8")
PRINTED = [
    line
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
RUN = "production-20260105T002000Z-0005"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a record of forty runs of production, in reports/ and again as a rehearsal's."""
    home = tmp_path_factory.mktemp("checkout")
    store = generate(home, 40)
    (home / "reports" / "rehearsal").mkdir()
    (home / "reports" / "rehearsal" / "production").symlink_to(store)
    return home


def printed(checkout: Path, *words: str) -> str:
    """What a command prints. Raises what it raises."""
    before = Path.cwd()
    os.chdir(checkout)
    try:
        done = CliRunner().invoke(app, words, catch_exceptions=False)
    finally:
        os.chdir(before)
    assert done.exit_code == 0, done.output
    return done.stdout


def runs(checkout: Path, *words: str) -> list[str]:
    return [json.loads(line)["run"] for line in printed(checkout, "history", "--format", "jsonl", *words).splitlines()]


@pytest.mark.parametrize("line", PRINTED)
def test_each_command_of_the_page_answers(checkout: Path, line: str) -> None:
    python, script, *words = shlex.split(line)
    answer = printed(checkout, *words)

    assert (python, script) == ("python", "deploy.py")
    assert "production-" in answer
    assert "no matching run" not in answer


@pytest.mark.parametrize(
    "words,found",
    [
        (("--version", "1.0.5"), [5]),
        (("--commit", "3633d884"), [5]),
        (("--migration", "000026"), [26]),
        (("--outcome", "rolled-back"), [34, 14]),
        (("--pipeline", "plan", "--until", "2026-01-05T01:20Z"), [19, 18, 11, 2]),
        (("--approver", "QUINN"), [25, 20, 14, 5]),
        (("--deployer", "dora3", "--since", "2026-01-05T02:00Z"), [38, 31]),
        (("--requirement", "REQ-o00006"), [6]),
    ],
)
def test_runs_are_found_by_what_is_asked(checkout: Path, words: tuple[str, ...], found: list[int]) -> None:
    assert found == [int(name[-4:], 16) for name in runs(checkout, *words)]


def test_a_table_is_cut_to_a_screen_and_says_so(checkout: Path) -> None:
    assert "40 runs, the newest 7 shown" in printed(checkout, "history", "--limit", "7")
    assert "40 runs; times are UTC" in printed(checkout, "history")


def test_programs_get_every_run_unless_they_ask_for_fewer(checkout: Path) -> None:
    assert (len(runs(checkout)), len(runs(checkout, "--limit", "3"))) == (40, 3)


def test_a_moment_tells_who_approved_and_what_was_bypassed(checkout: Path) -> None:
    answer = printed(checkout, "history", "--as-of", "2026-01-05T00:21Z")

    assert "release 1.0.5 (diary-00005)" in answer
    assert "Quinn Quist <quinn@example.org> as QA Lead" in answer
    assert "gate window for INC-7, signed by tina@example.org: patients cannot log in" in answer


def test_rehearsals_are_asked_apart(checkout: Path) -> None:
    answer = printed(checkout, "history", "--rehearse", "--format", "json", "--limit", "1")

    assert json.loads(answer)["runs"][0]["store"] == "rehearsal/production"


def test_the_index_is_private_and_outside_the_record(checkout: Path) -> None:
    printed(checkout, "history", "--limit", "1")
    made = list((checkout / ".deploy" / "history").iterdir())

    assert made
    assert {0o600} == {path.stat().st_mode & 0o777 for path in made}
    assert not list((checkout / "reports").rglob("*.sqlite"))


@pytest.mark.parametrize(
    "words,says",
    [
        (("history", "--format", "xml"), "--format=xml: right is table, json, jsonl, csv"),
        (("history", "--env", "prod"), "no record prod under reports; there is production"),
        (("history", "--reports", "nowhere"), "no record under nowhere"),
        (("history", "--as-of", "2026-01-05"), "an instant has a time and a zone"),
        (("history", "--as-of", "2026-01-05T00:21Z", "--version", "1"), "--as-of asks what served"),
        (("history", "--as-of", "2026-01-05T00:21Z", "--limit", "1"), "--as-of asks what served"),
        (("history", "--since", "soon"), "--since=soon is no instant"),
        (("show", RUN, "--format", "csv"), "--format=csv: right is table or json"),
        (("show", "production-2026"), "like it: production-2026"),
        (("show", f"rehearsal-{RUN}"), "no record of rehearsal/production knows a run"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_what_would_be_right(
    checkout: Path, words: tuple[str, ...], says: str
) -> None:
    with pytest.raises(UsageError) as refused:
        printed(checkout, *words)

    assert says in str(refused.value)


def test_requirement_is_answered_with_its_last_exercise_its_result_and_its_run(checkout: Path) -> None:
    shown = json.loads(printed(checkout, "history", "--requirement", "REQ-o00006", "--format", "json"))

    (answer,) = shown["assertions"]
    assert answer["assertion"] == "REQ-o00006-B"
    assert answer["last"]["result"] == "verified"
    assert [one["run"] for one in shown["runs"]] == [answer["last"]["run"]]
    assert shown["runs"][0]["results"] == ["REQ-o00006-B verified"]
    table = printed(checkout, "history", "--requirement", "REQ-o00006")
    assert "last result" in table
    assert answer["last"]["run"] in table


def test_requirement_that_nobody_knows_is_refused_naming_close_ones(checkout: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"REQ-o00006-X: neither the register of deploy.yaml nor any record knows it; close to it: .*REQ-o00006-B",
    ):
        printed(checkout, "history", "--requirement", "REQ-o00006-X")
