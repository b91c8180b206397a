"""What only shows in large numbers: `make scale`. Each prints its figures; building is timed apart."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.history.history import History
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.events import parse as content_of
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import parse
from pytest_deploy.reports.run_page import render_run
from pytest_deploy.verify.verify import verify
from tests.required_programs import needs
from tests.scale.conftest import Long, Say
from tests.scale.generated_record import BEGINS, EVERY, generate, open_generated
from tests.scale.history_queries import questions
from tests.unit.record.sample_record import HandClock, RunWriter, closed, decided
from tests.unit.reports.parsed_page import parse as parse_page

pytestmark = pytest.mark.scale
ROOT = Path(__file__).parents[2]
VERIFY_RATIO = 3.0
"""Of reading each event's file, hashing it and parsing its JSON, in the same process."""
ANSWER_S = 1.0
APPEND_RATIO = 1.5
SCREEN = 50


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def read_each(store: Path, *, every: int) -> float:
    """Seconds that one event's file takes to be read, hashed and parsed, the files of the log taken in steps."""
    paths = sorted((store / "log").iterdir())[::every]
    began = time.perf_counter()
    for path in paths:
        raw = path.read_bytes()
        hashlib.sha256(raw).hexdigest()
        json.loads(raw.partition(b"\n")[0])
    return (time.perf_counter() - began) / len(paths)


@pytest.mark.timeout(1800)
def test_verifying_a_million_events_costs_a_few_times_their_reading(hundred_thousand_runs: Long, say: Say) -> None:
    """Every step, all but old signatures; the files were just written, so they are in memory."""
    needs("ssh-keygen")
    long = hundred_thousand_runs
    say(long.built)
    before = read_each(long.store, every=20)
    began = time.perf_counter()
    result = verify(long.store)
    took = time.perf_counter() - began
    reading = (before + read_each(long.store, every=20)) / 2
    ratio = took / result.size / reading
    say(
        f"verified {result.size} events, {long.runs} sealed runs in {took:.1f} s"
        f" ({result.size / took:.0f} events a second), {ratio:.2f} times the reading"
    )

    assert result.ok, result.findings
    assert result.size == long.events >= 1_000_000
    assert ratio <= VERIFY_RATIO


@pytest.mark.timeout(1800)
def test_history_over_a_hundred_thousand_runs_answers_within_a_second(
    hundred_thousand_runs: Long, tmp_path: Path, say: Say
) -> None:
    long = hundred_thousand_runs
    with History({"production": long.store}, tmp_path / "state") as history:
        built = timed(lambda: history.runs(questions(long.runs)["a version"]))
    (index,) = (tmp_path / "state").iterdir()
    say(f"index of {long.events} events built in {built:.1f} s, {index.stat().st_size / 1e6:.0f} MB")
    took: dict[str, float] = {}
    for kind, asked in questions(long.runs).items():
        with History({"production": long.store}, tmp_path / "state") as history:
            began = time.perf_counter()
            listing = history.runs(asked, limit=SCREEN)
            took[kind] = time.perf_counter() - began
        say(f"{kind:<20} {took[kind]:6.3f} s  {listing.total} runs, {len(listing.runs)} shown")
        assert listing.runs
    for share in (0.1, 0.5, 0.9):
        with History({"production": long.store}, tmp_path / "state") as history:
            instant = stamp(BEGINS + EVERY * int(long.runs * share) + timedelta(minutes=1))
            began = time.perf_counter()
            moment = history.as_of("production", instant)
            took[f"as of {instant}"] = time.perf_counter() - began
            run = moment.serving[0].events[0].run
            took[f"show {run}"] = timed(lambda: history.show(run))  # noqa: B023 -- called at once
        say(f"as of {instant} {took[f'as of {instant}']:.3f} s, show {took[f'show {run}']:.3f} s")

    assert {kind: seconds for kind, seconds in took.items() if seconds >= ANSWER_S} == {}


@pytest.mark.timeout(1800)
def test_the_command_answers_within_a_second_too_and_reads_only_what_is_new(
    hundred_thousand_runs: Long, tmp_path: Path, say: Say
) -> None:
    """From typing to the last line, start of Python included."""
    command = [
        sys.executable,
        str(ROOT / "deploy.py"),
        "history",
        "--reports",
        str(hundred_thousand_runs.store.parent),
        "--approver",
        "quinn",
    ]
    first = timed(lambda: subprocess.run(command, cwd=tmp_path, check=True, capture_output=True))
    again = timed(lambda: subprocess.run(command, cwd=tmp_path, check=True, capture_output=True))
    say(f"deploy.py history --approver quinn: {first:.1f} s with building, {again:.2f} s after it")

    assert again < first
    assert again <= 2 * ANSWER_S


def appending(log: Log, times: int) -> list[float]:
    data = {"alert": "scale", "detail": "one more"}
    return [
        timed(lambda: log.append(content_of("alert.raised", data), run="-", actor="system:scale")) for _ in range(times)
    ]


@pytest.mark.timeout(1800)
def test_an_append_at_a_million_costs_what_it_costs_at_a_thousand(hundred_thousand_runs: Long, say: Say) -> None:
    """At turns, so that whatever else the machine does falls on both. Both logs lie in the same file system."""
    short_home = hundred_thousand_runs.home / "short"
    store = generate(short_home, 100)
    short = open_generated(short_home, HandClock(BEGINS + timedelta(days=400)))
    opened = time.perf_counter()
    long = open_generated(hundred_thousand_runs.home, HandClock(BEGINS + timedelta(days=400)))
    opened = time.perf_counter() - opened
    at_thousand: list[float] = []
    at_million: list[float] = []
    for _ in range(60):
        at_thousand += appending(short, 10)
        at_million += appending(long, 10)
    few, many = statistics.median(at_thousand), statistics.median(at_million)
    sizes = [parse((place / entries.name(log.head().seq)).read_bytes()).event.seq + 1  # type: ignore[union-attr]
             for place, log in ((store, short), (hundred_thousand_runs.store, long))]  # fmt: skip
    say(
        f"append: {few * 1e6:.0f} us at {sizes[0]} events, {many * 1e6:.0f} us at {sizes[1]}: {many / few:.2f} times; opening {opened:.1f} s"
    )

    assert sizes[1] >= 1_000_000
    assert many <= APPEND_RATIO * few


@pytest.mark.timeout(1800)
def test_the_commands_a_report_prints_work_at_two_hundred_thousand_events(twenty_thousand_runs: Long, say: Say) -> None:
    for program in ("bash", "openssl", "sha256sum"):
        needs(program)
    long = twenty_thousand_runs
    say(long.built)
    log = open_generated(long.home, HandClock(BEGINS + EVERY * long.runs + timedelta(hours=1)))
    writing = RunWriter(log).open().step("build").request().step("traffic", changes=True)
    writing.add("run.decided", decided("deployed"))
    page = render_run(log.run(writing.run), checkpoint=log.checkpoint())
    writing.folder.create("report.html", page.encode())
    writing.add("run.closed", closed("deployed", writing.run, writing.folder.seal()))
    commands = [pre.text for pre in parse_page(page).all("pre", class_="command")]
    trust = long.home / "elsewhere"
    shutil.copytree(long.store / "trust", trust)
    said = []
    for command in commands:
        began = time.perf_counter()
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", command], cwd=long.store, env={"PATH": "/usr/bin:/bin", "TRUST": str(trust)},
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        say(f"{time.perf_counter() - began:6.1f} s  {command.splitlines()[-1][:90]}")
        assert done.returncode == 0, (command, done.stderr)
        said.append(done.stdout)

    assert long.events >= 200_000
    assert said[0].splitlines()
    assert {"OK"} == {line.rpartition(": ")[2] for line in said[0].splitlines()}
    of_file, of_log = said[1].splitlines()
    assert f'"record_sha256":"{of_file.split()[0]}"' == of_log
    assert said[2] == ""
    assert "Signature Verified Successfully" in said[3]
    assert said[5] == "anchors/ holds no timestamp\n"


@pytest.mark.timeout(1800)
def test_a_fault_in_the_midst_of_two_hundred_thousand_events_is_named_by_both(
    twenty_thousand_runs: Long, say: Say
) -> None:
    """The last to use this record: it is spoiled."""
    needs("sha256sum")
    long = twenty_thousand_runs
    path = long.store / entries.name(123_456)
    path.write_bytes(path.read_bytes().replace(b'"v":2}', b'"v":3}', 1))
    page = (ROOT / "pytest_deploy/reports/pages/verify.html").read_text(encoding="utf-8")
    chain = next(
        command for command in re.findall(r"<pre class=\"command\">(.*?)</pre>", page, re.DOTALL) if "BROKEN" in command
    )
    printed = chain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    done = subprocess.run(
        ["bash", "-c", printed], cwd=long.store, capture_output=True, text=True, check=False, timeout=900
    )
    began = time.perf_counter()
    result = verify(long.store)
    say(f"named in {time.perf_counter() - began:.1f} s: {result.findings[0]}")

    assert done.stdout == f"BROKEN {entries.name(123_457)}\n"
    assert [entries.name(123_456)] == [finding.place for finding in result.findings if finding.place.startswith("log/")]
