"""The commands a report prints run as printed, on a real record, and notice what they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.record.log import Log
from pytest_deploy.reports.refused_start import render_refused_start
from pytest_deploy.reports.run_page import render_run
from tests.unit.record.sample_record import RunWriter, closed, decided, open_log, verdict
from tests.unit.reports import sample_runs
from tests.unit.reports.parsed_page import parse
from tests.unit.reports.report_commands import run

ON_PAPER = 92
"""Characters of a line of print on A4, the narrower of the two sheets."""


def recorded(home: Path) -> tuple[Path, str, list[str]]:
    """A store with one sealed run in it; the store, the run, and its report's commands."""
    log: Log = open_log(home)
    writing = RunWriter(log).open().step("build").request().step("traffic", changes=True)
    writing.add("run.decided", decided("deployed"))
    page = render_run(log.run(writing.run), checkpoint=log.checkpoint())
    writing.folder.create("report.html", page.encode())
    writing.add("run.closed", closed("deployed", writing.run, writing.folder.seal()))
    assert writing.lease is not None
    writing.lease.release()
    return home / "reports" / "local", writing.run, [pre.text for pre in parse(page).all("pre", class_="command")]


def test_on_a_sound_record_every_command_agrees(tmp_path: Path) -> None:
    store, name, (files, listed, chain, signature, rendered, stamped) = recorded(tmp_path)

    assert {"OK"} == {line.rpartition(": ")[2] for line in run(store, files).stdout.splitlines()}
    of_file, of_log = run(store, listed).stdout.splitlines()
    assert f'"record_sha256":"{of_file.split()[0]}"' == of_log
    assert ((done := run(store, chain)).stdout, done.returncode) == ("", 0)
    assert "Signature Verified Successfully" in run(store, signature).stdout
    assert run(store, rendered).stdout == "1\n"
    assert run(store, stamped).stdout == "anchors/ holds no timestamp\n"
    assert name in files


def _spoil(path: Path, old: bytes, new: bytes) -> None:
    path.chmod(0o644)
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))


def test_a_changed_file_of_the_run_is_noticed(tmp_path: Path) -> None:
    store, name, (files, *_) = recorded(tmp_path)
    _spoil(store / "runs" / name / "report.html", b"Deployed", b"deployed")

    assert run(store, files).returncode != 0


def test_a_changed_event_is_named(tmp_path: Path) -> None:
    store, _, (_, _, chain, *_) = recorded(tmp_path)
    _spoil(store / "log" / "00000002.event", b"main", b"mane")

    assert run(store, chain).stdout == "BROKEN log/00000003.event\n"


def test_a_removed_event_is_named(tmp_path: Path) -> None:
    store, _, (_, _, chain, *_) = recorded(tmp_path)
    (store / "log" / "00000004.event").unlink()

    assert run(store, chain).stdout == "BROKEN log/00000005.event\n"


def test_a_checkpoint_nobody_signed_is_refused(tmp_path: Path) -> None:
    store, _, (_, _, _, signature, *_) = recorded(tmp_path)
    newest = max((store / "log").glob("*.event"))
    size = str(int(newest.stem) + 1)
    _spoil(newest, f"/local\n{size}\n".encode(), f"/local\n{size}1\n".encode())

    assert run(store, signature).returncode != 0


def test_another_log_is_not_the_one_rendered_from(tmp_path: Path) -> None:
    _, _, (*_, rendered, _) = recorded(tmp_path / "one")
    other, *_ = recorded(tmp_path / "two")

    assert run(other, rendered).stdout == "0\n"


def refused(home: Path) -> tuple[Path, str, list[str]]:
    """A store with a request whose start was refused; the store, the run, and the commands of its page that check it."""
    log: Log = open_log(home)
    waiting = RunWriter(log).request()
    waiting.add("gate.refused", verdict("approvals", "still-needed", reason="approval missing: QA Lead"))
    page = render_refused_start(log.run(waiting.run), checkpoint=log.checkpoint(), again="pytest --deploy-env=local")
    checks = parse(page).one("section", aria_labelledby="verify").all("pre", class_="command")
    return home / "reports" / "local", waiting.run, [pre.text for pre in checks]


def test_what_the_page_of_a_refused_start_prints_agrees_and_notices_another_request(tmp_path: Path) -> None:
    store, name, (request, chain, signature, rendered, stamped) = refused(tmp_path)

    of_file, of_log = run(store, request).stdout.splitlines()
    assert f'"request_sha256":"{of_file.split()[0]}"' == of_log
    assert ((done := run(store, chain)).stdout, done.returncode) == ("", 0)
    assert "Signature Verified Successfully" in run(store, signature).stdout
    assert run(store, rendered).stdout == "1\n"
    assert run(store, stamped).stdout == "anchors/ holds no timestamp\n"

    _spoil(store / "runs" / name / "request.json", b"commit", b"commot")
    of_file, of_log = run(store, request).stdout.splitlines()
    assert of_file.split()[0] not in of_log


@pytest.mark.parametrize("tool", ["sha256sum", "find", "openssl"])
def test_only_stock_tools_are_asked_for(tmp_path: Path, tool: str) -> None:
    _, _, commands = recorded(tmp_path)

    assert tool in "\n".join(commands)
    assert "python" not in "\n".join(commands)


def test_no_line_of_a_command_wraps_on_paper() -> None:
    """Copied from a sheet, a line that wraps is two: a name broken at its hyphen is another name, and the signature a forgery."""
    events = sample_runs.approved()
    page = render_run(events, checkpoint=sample_runs.CHECKPOINT, after=sample_runs.post_run(events))
    page_of_refusal = render_refused_start(
        sample_runs.refused_start(), checkpoint=sample_runs.CHECKPOINT, again="pytest"
    )
    pages = (page, page_of_refusal)
    lines = [line for one in pages for pre in parse(one).all("pre", class_="command") for line in pre.text.splitlines()]

    assert [line for line in lines if len(line) > ON_PAPER] == []
