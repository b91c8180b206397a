"""The periodic review of the audit trail: what it covers is shown, signed with the findings, and the next one goes on there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_deploy.commands import review_trail as commands
from pytest_deploy.commands import sign_off as signing
from pytest_deploy.commands.audit import Audit
from pytest_deploy.commands.history import history
from pytest_deploy.errors import DeployError, Refused, UsageError
from pytest_deploy.record import run_id
from pytest_deploy.record.log import Log
from tests.unit.commands.finished_runs import FinishedRuns
from tests.unit.commands.typed import typed
from tests.unit.verify.second_verifier import both


def review(finished: FinishedRuns, by: str = "quinn", **changes: Any) -> list[str]:
    asked = {"findings": "none", "to": None, "role": "QA Lead", "show": False, "yes": True, **changes}
    return typed(
        finished.root, commands.review_trail, "production", key=finished.key(by), rehearse=True, **asked
    )  # fmt: skip


def refused(finished: FinishedRuns, what: Callable[[], object]) -> str:
    """The message of a refusal that wrote nothing."""
    before = {path: path.read_bytes() for path in finished.root.rglob("*") if path.is_file()}
    with pytest.raises(DeployError) as error:
        what()
    assert isinstance(error.value, Refused | UsageError)
    assert before == {path: path.read_bytes() for path in finished.root.rglob("*") if path.is_file()}
    return str(error.value)


def test_a_review_covers_all_there_is_and_the_next_one_goes_on_there(finished: FinishedRuns) -> None:
    size = len(finished.log.history())
    printed = review(finished, findings="two keys have ended; both explained")

    event = finished.head()
    said = json.loads((finished.store / event.data["file"]).read_bytes())
    assert (event.type, event.run, event.seq) == ("trail.reviewed", run_id.NO_RUN, size)
    assert (said["meaning"], said["first"], said["size"]) == ("reviewed", 0, size)
    assert said["findings"] == "two keys have ended; both explained"
    assert f"{said['size']} {said['root']}" == " ".join(finished.log_at(size).split()[2:])
    assert f"covers    events 0 to {size - 1}, " in "\n".join(printed)
    assert both(finished.store) == (True, "")

    review(finished, "both")
    assert (finished.head().data["first"], finished.head().data["size"]) == (size, size + 1)
    assert both(finished.store) == (True, "")


def test_what_asks_for_a_look_is_shown_before_it_is_signed(finished: FinishedRuns) -> None:
    typed(
        finished.root, signing.sign_off, finished.deployed, key=finished.key("quinn"),
        role="QA Lead", meaning="rejected", comment="OQ-7 was not executed",
    )  # fmt: skip
    printed = review(finished)

    shown = printed[: next(number for number, line in enumerate(printed) if line.startswith("findings"))]
    for part in (
        "key.revoked: rita@example.org: left", "environment.frozen", "the build failed twice",
        "rejected: OQ-7 was not executed (quinn@example.org)",
        f"unsigned  {finished.failed}: closed, and nobody signed its record off",
    ):  # fmt: skip
        assert any(part in line for line in shown), part
    assert not any(finished.deployed in line for line in shown if line.startswith("unsigned"))
    assert not any("run.planned" in line for line in shown)


def test_a_part_is_reviewed_and_the_rest_later(finished: FinishedRuns) -> None:
    review(finished, to=9)
    review(finished, "both", to=10)
    review(finished)

    covered = [(e.data["first"], e.data["size"]) for e in finished.log.events() if e.type == "trail.reviewed"]
    assert covered == [(0, 10), (10, 11), (11, finished.head().seq)]
    assert both(finished.store) == (True, "")


@pytest.mark.parametrize("to", [-1, 4, 10_000])
def test_what_was_reviewed_and_what_is_not_there_yet_is_not_reviewed(finished: FinishedRuns, to: int) -> None:
    review(finished, to=9)

    assert "right is 10 to " in refused(finished, lambda: review(finished, to=to))


def test_who_deployed_what_it_covers_reviews_it_not(finished: FinishedRuns) -> None:
    opened = finished.last("run.opened", finished.deployed).seq
    assert f"Ada Adeyemi deployed {finished.deployed} and cannot" in refused(finished, lambda: review(finished, "ada"))

    review(finished, "ada", to=opened - 1)
    assert both(finished.store) == (True, "")


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"findings": ""}, "say --findings"),
        ({"findings": "…"}, "say --findings"),
        ({"findings": "\x1b[2J"}, "--findings"),
        ({"role": "Tech Lead"}, "does not hold the role Tech Lead"),
        ({"yes": False}, "add --yes to sign"),
        ({"by": "rita"}, "is not valid for rita@example.org now"),
        ({"by": "stranger"}, "the roster knows nobody with the key"),
    ],
)
def test_without_findings_a_role_a_valid_key_or_a_yes_nothing_is_signed(
    finished: FinishedRuns, changes: dict[str, Any], why: str
) -> None:
    assert why in refused(finished, lambda: review(finished, **changes))


@pytest.mark.parametrize("by", ["quinn", "ada"])
def test_show_signs_nothing_and_asks_for_no_findings_nor_who_deployed(finished: FinishedRuns, by: str) -> None:
    before = len(finished.log.history())

    assert any(line.startswith("covers ") for line in review(finished, by, show=True, findings=""))
    assert len(finished.log.history()) == before


def test_of_two_reviews_at_once_one_counts(finished: FinishedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is signed while this one's signer still reads: it would cover the same events twice."""
    real = Log.root

    def slowly(self: Log, size: int) -> bytes:
        monkeypatch.setattr(Log, "root", real)
        review(finished, "both")
        return real(self, size)

    monkeypatch.setattr(Log, "root", slowly)
    with pytest.raises(Refused, match="meanwhile; look again"):
        review(finished)
    assert [event.data["signer"] for event in finished.log.events() if event.type == "trail.reviewed"] == [
        "both@example.org"
    ]
    assert both(finished.store) == (True, "")


def test_history_and_audit_tell_when_the_last_review_was_and_what_is_left(finished: FinishedRuns) -> None:
    def told() -> tuple[str, str]:
        audit = [str(one) for one in Audit(finished.root, rehearsal=True).all("production")]
        listed = typed(finished.root, history, env=["production"], rehearse=True)
        return next(line for line in audit if "trail: " in line), next(line for line in listed if "trail" in line)

    size = len(finished.log.history())
    for line in told():
        assert "nobody reviewed this trail yet" in line
        assert f"{size} events since" in line
        assert " review-trail production --rehearse --findings '…'`" in line

    review(finished, to=9)
    for line in told():
        assert "up to event 9, " in line
        assert "by Quinn Quist as QA Lead" in line
        assert f"{size + 1 - 10} events since" in line
