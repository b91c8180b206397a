"""The ssh-keygen commands that a report prints run as printed, on a store with real signatures, and notice a forgery."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_deploy.reports.run_page import render_run
from tests.unit.approvals.pending_request import QUINN, RUN, TINA, PendingRequest
from tests.unit.record.sample_record import opened_data
from tests.unit.reports.parsed_page import parse
from tests.unit.reports.report_commands import run
from tests.unit.reports.sample_runs import CHECKPOINT, RunBuilder


@pytest.fixture
def signed(tmp_path: Path, keys: Mapping[str, Path]) -> PendingRequest:
    """A request that two people approved and one overrode a gate for."""
    pending = PendingRequest.set_up(tmp_path, keys)
    pending.approve(TINA)
    pending.approve(QUINN)
    pending.override(TINA)
    return pending


def commands(pending: PendingRequest) -> list[str]:
    """What the report of a run under this request prints."""
    builder = RunBuilder(run=RUN, now=pending.clock.now(), events=pending.log.run(RUN))
    builder.add("run.opened", **opened_data(request_sha256=builder.events[0].data["request_sha256"]))
    page = parse(render_run(builder.events, checkpoint=pending.log.checkpoint()))
    return [pre.text for pre in page.all("pre", class_="signature")]


def tried(pending: PendingRequest) -> list[subprocess.CompletedProcess[str]]:
    return [run(pending.store, command) for command in commands(pending)]


def test_every_signature_has_its_command_and_each_says_good(signed: PendingRequest) -> None:
    ran = tried(signed)

    assert [one.returncode for one in ran] == [0, 0, 0]
    assert ["Good" in one.stdout for one in ran] == [True] * 3
    assert [person.email in one.stdout for person, one in zip((TINA, QUINN, TINA), ran, strict=True)] == [True] * 3


def test_a_signed_file_that_was_changed_is_refused(signed: PendingRequest) -> None:
    place = next((signed.store / "runs" / RUN / "approvals").glob("qa-lead-*.json"))
    place.chmod(0o644)
    place.write_bytes(place.read_bytes().replace(b"QA Lead", b"QA Leak"))

    assert [one.returncode == 0 for one in tried(signed)] == [True, False, True]


def test_another_persons_signature_is_refused(signed: PendingRequest) -> None:
    tina, quinn, _ = commands(signed)

    assert run(signed.store, quinn.replace(QUINN.email, TINA.email)).returncode != 0
    assert run(signed.store, tina).returncode == 0


def test_what_an_event_calls_a_file_or_a_person_runs_nothing(tmp_path: Path) -> None:
    builder = RunBuilder()
    builder.opened()
    builder.add(
        "override.signed", file="$(touch ran) `touch ran`'; touch ran #", sha256="0" * 64, signature_sha256="1" * 64,
        signer="x'; touch ran; '", reason="r",
    )  # fmt: skip
    page = parse(render_run(builder.events, checkpoint=CHECKPOINT.replace("deploy.example.org", "a'$(touch${IFS}ran)")))
    (command,) = [pre.text for pre in page.all("pre", class_="signature")]
    (tmp_path / "store" / "trust").mkdir(parents=True)

    assert run(tmp_path / "store", command).returncode != 0
    assert list(tmp_path.rglob("ran")) == []
