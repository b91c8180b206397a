"""A request that waits: who may sign it, what they are shown first, and how signatures come to count."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.commands.approve import approve, override, reject
from pytest_deploy.commands.keys import revoke
from pytest_deploy.commands.pending_request import pending_request
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.events import parse
from pytest_deploy.record.key import FileSigner
from pytest_deploy.record.open_record import rotate
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.run_id import new_run_id
from tests.unit.approvals.pending_request import ADAM, BOTH, DORA, QUINN, TINA
from tests.unit.commands.pending_request_checkout import WINDOW, PendingRequestCheckout
from tests.unit.commands.typed import typed
from tests.unit.record.sample_record import ACTOR, RunWriter, closed, decided

RUN = "production-20261122T201500Z-4f1c"


def test_who_signs_is_shown_what_changes_before_and_told_who_is_missing(
    pending_checkout: PendingRequestCheckout,
) -> None:
    pending_checkout.approve(TINA.email)

    signed = next(
        place for place, line in enumerate(pending_checkout.printed) if line.startswith("signed    by Tina Tanaka")
    )
    shown = "\n".join(pending_checkout.printed[:signed])
    for expected in (
        "replaces  nothing: the first release",
        "migrates  0008 mood",
        "reason    adds moods",
        "+ column mood",
    ):
        assert expected in shown
    assert pending_checkout.printed[-1] == "missing   QA Lead"

    pending_checkout.approve(QUINN.email)
    assert pending_checkout.printed[-1] == "missing   nobody: it may be run"
    assert pending_checkout.events("approval.signed") == [TINA.email, QUINN.email]


def test_what_its_plan_found_is_shown_the_failing_first_and_the_age_of_the_keys(
    pending_checkout: PendingRequestCheckout,
) -> None:
    pending_checkout.approve(TINA.email)

    shown = pending_checkout.printed
    (plan,) = [at for at, line in enumerate(shown) if line.startswith("plan      ")]
    assert shown[plan].endswith(": still-needed")
    assert [" ".join(line.split()[:-3]) for line in shown[plan + 1 : plan + 5]] == [
        "would refuse window:", "would refuse approvals:", "passed build:", "not applicable freeze:",
    ]  # fmt: skip
    printed = "\n".join(shown)
    assert re.search(
        r"^key       SHA256:\S+, enrolled \d{4}-\d\d-\d\d, 1 h( \d min)? ago; ends \d{4}-", printed, re.MULTILINE
    )
    assert re.search(r"^log key   \S+, \d{4}-\d\d-\d\d, \d+ s ago$", printed, re.MULTILINE)


def test_a_schema_is_shown_as_people_read_it_and_the_file_is_what_is_signed(
    pending_checkout: PendingRequestCheckout,
) -> None:
    column = '+column public.visits 0003 {"name": "note", "type": "text", "local": true}\n'
    asked = pending_checkout.ask(diff=f"--- a\n+++ b\n@@ -1 +1 @@\n{column}")

    asked.approve(TINA.email)

    at = asked.printed.index("schema    as planned:")
    assert asked.printed[at + 1].strip() == "+ column public.visits.note text"
    assert asked.printed[at + 2].startswith("log key ")


@pytest.mark.parametrize(
    "command, given, options, shown",
    [
        (approve, (), {"comment": "read it all"}, ["comment   read it all"]),
        (reject, (), {"reason": "it locks the table"}, ["rejects   because it locks the table"]),
        (
            override, ("window",), WINDOW,
            ["overrides window, for 1 h from now", "incident  INC-7", "because   patients cannot log in"],
        ),
    ],
    ids=["approve", "reject", "override"],
)  # fmt: skip
def test_what_a_person_says_of_it_is_shown_before_they_sign_it(
    pending_checkout: PendingRequestCheckout,
    command: Callable[..., None],
    given: tuple[str, ...],
    options: dict[str, Any],
    shown: list[str],
) -> None:
    key = pending_checkout.keys[TINA.email]

    printed = typed(pending_checkout.root, command, *given, pending_checkout.run, key=key, **options)

    signing = next(at for at, line in enumerate(printed) if line.startswith("signing "))
    assert [line for line in printed[:signing] if line in shown] == shown


def test_the_log_s_key_is_as_old_as_its_rotation(pending_checkout: PendingRequestCheckout) -> None:
    time.sleep(2.1)  # the log is older by that
    new = FileSigner.open_or_create(pending_checkout.root / "new.pem")
    log, store = pending_checkout.log, pending_checkout.held.workspace.store
    plan = next(RunWriter(log, event.data["plan"]) for event in log.events() if event.type == "request.made")
    plan.add("run.closed", closed("still-needed", plan.run, plan.folder.seal()))
    rotated = rotate(log, store, new, signer="file", reason="yearly", actor=ACTOR)
    pending_checkout.held.workspace.key_file.write_bytes((pending_checkout.root / "new.pem").read_bytes())

    *_, line = pending_request(pending_checkout.root, pending_checkout.run).described()

    aged = re.search(r"^log key .*, (\d+) s ago$", line)
    assert aged is not None, line
    assert int(aged[1]) <= (SystemClock().now() - rotated.time).total_seconds()


def test_a_request_whose_plan_did_not_pass_is_rejected_and_never_signed(
    pending_checkout: PendingRequestCheckout,
) -> None:
    """Forged: a plan that does not pass makes no request."""
    forged = pending_checkout.ask(outcome="not-passed")
    for sign in (forged.approve, forged.override):
        with pytest.raises(Refused, match=f"{forged.run} cannot be signed: its plan .* did not pass: not-passed"):
            sign(TINA.email)
    assert [line for line in forged.printed if "suites/approval/test_approval.py::test_it" in line] != []
    assert not (forged.folder / "approvals").exists()
    forged.lay(TINA)
    forged.lay(QUINN)
    gate = pending_request(forged.root, forged.run).gates().check("approvals")
    assert (gate.result, gate.reason.partition(": ")[0]) == ("refused", "nobody may sign the request")

    options: dict[str, Any] = {"reason": "its plan failed", "key": forged.keys[QUINN.email]}
    typed(forged.root, reject, forged.run, printed=forged.printed, **options)

    assert forged.events("request.rejected") == [QUINN.email]


def test_a_request_whose_file_names_another_plan_than_the_record_is_not_signed(
    pending_checkout: PendingRequestCheckout,
) -> None:
    asked = pending_checkout.ask(named="production-20260101T000000Z-0000")

    with pytest.raises(
        Refused, match=r"cannot be signed: production-20260101T000000Z-0000, which it names, is no plan"
    ):
        asked.approve(TINA.email)


def test_a_request_for_which_the_record_names_another_plan_that_passed_is_not_signed(
    pending_checkout: PendingRequestCheckout,
) -> None:
    """Forged by the log's key: people sign the request's own words, which name a plan that did not pass."""
    of = pending_checkout.held.workspace
    other = RunWriter(
        pending_checkout.log, new_run_id(of.environment, SystemClock(), rehearsal=of.rehearsal), pipeline="plan"
    ).open(environment=of.environment, rehearsal=of.rehearsal)
    forged = pending_checkout.ask(outcome="not-passed", named=other.run)
    other.step("build").add("run.decided", decided("passed", request=forged.run))

    with pytest.raises(Refused, match=r"cannot be signed: request\.json and the record name different plans"):
        forged.approve(TINA.email)


@pytest.mark.parametrize("email", [TINA.email, DORA.email, "stranger"])
def test_show_shows_all_and_signs_nothing_also_to_who_could_not_sign(
    pending_checkout: PendingRequestCheckout, email: str
) -> None:
    before = sorted(pending_checkout.folder.rglob("*"))

    lines = typed(pending_checkout.root, approve, pending_checkout.run, key=pending_checkout.keys[email], show=True)

    assert [line for line in lines if "+ column mood" in line] != []
    assert lines[-1].startswith("signing   as Tina" if email == TINA.email else "refused   ")
    assert sorted(pending_checkout.folder.rglob("*")) == before


@pytest.mark.parametrize(
    "email, role, says",
    [
        (DORA.email, "Tech Lead", "Dora Deployer deploys this, so their signature"),
        (ADAM.email, "", "Adam Author wrote part of what is released, so"),
        (DORA.email, "Deployment Manager", "Deployment Manager is not among them"),
        (QUINN.email, "Tech Lead", "Quinn Quist does not hold the role Tech Lead"),
        ("stranger", "", "the roster knows nobody with the key"),
    ],
)
def test_a_signature_that_would_not_count_is_not_made(
    pending_checkout: PendingRequestCheckout, email: str, role: str, says: str
) -> None:
    with pytest.raises(Refused, match=says):
        pending_checkout.approve(email, role=role)

    assert pending_checkout.events("approval.signed") == []
    assert not (pending_checkout.folder / "approvals").exists()


def test_a_key_that_is_revoked_takes_its_signature_back_and_says_from_which_request(
    pending_checkout: PendingRequestCheckout,
) -> None:
    pending_checkout.approve(TINA.email)
    pending_checkout.approve(QUINN.email)
    run, printed = pending_checkout.run, pending_checkout.printed
    time.sleep(1.1)  # a key ends with a whole second
    asked = {"person": QUINN.email, "reason": "token stolen", "rehearse": True}

    typed(pending_checkout.root, revoke, "production", printed=printed, **asked)

    assert f"lost      {run}: what Quinn Quist signed as QA Lead counts no longer there" in printed
    assert not any("Tina Tanaka signed" in line for line in printed)
    verdict = pending_request(pending_checkout.root, run).gates().check("approvals")
    assert not verdict.passed
    assert "(not counted: qa-lead-" in verdict.reason
    assert "which ended" in verdict.reason
    pending_checkout.approve(BOTH.email, role="QA Lead")
    assert printed[-1] == "missing   nobody: it may be run"
    assert any(line.startswith("uncounted qa-lead-") for line in printed)


def test_who_rejects_stops_the_request_until_they_approve_it(pending_checkout: PendingRequestCheckout) -> None:
    root, run, printed = pending_checkout.root, pending_checkout.run, pending_checkout.printed
    quinns: dict[str, Any] = {"printed": printed, "key": pending_checkout.keys[QUINN.email]}
    pending_checkout.approve(TINA.email)

    typed(root, reject, run, reason="the migration locks the table", **quinns)

    assert printed[-1] == "rejected  by Quinn Quist <quinn@example.org> as QA Lead; it may be run once they approve it"
    pending_checkout.approve(BOTH.email, role="QA Lead")
    assert printed[-2:] == [
        "rejected  by Quinn Quist as QA Lead: the migration locks the table", "missing   nobody, but it is rejected",
    ]  # fmt: skip
    verdict = pending_request(root, run).gates().check("approvals")
    assert not verdict.passed
    assert verdict.reason == "rejected by Quinn Quist as QA Lead: the migration locks the table"
    assert "who rejected it withdraws that by approving" in verdict.sentence

    pending_checkout.approve(QUINN.email)
    assert printed[-1] == "missing   nobody: it may be run"
    assert pending_request(root, run).gates().check("approvals").passed


@pytest.mark.parametrize(
    "email, reason, says",
    [
        (DORA.email, "x", "Dora Deployer deploys this, so their signature"),
        (ADAM.email, "x", "Adam Author wrote part of what is released, so"),
        (QUINN.email, "  ", "say --reason"),
        (QUINN.email, "…", "say --reason"),
        (QUINN.email, "a\nb", "--reason"),
    ],
)
def test_who_may_not_approve_rejects_nothing_and_nobody_without_a_reason(
    pending_checkout: PendingRequestCheckout, email: str, reason: str, says: str
) -> None:
    with pytest.raises((Refused, UsageError), match=says):
        typed(pending_checkout.root, reject, pending_checkout.run, reason=reason, key=pending_checkout.keys[email])

    assert pending_checkout.events("request.rejected") == []
    assert not (pending_checkout.folder / "approvals").exists()


def test_only_a_request_that_lives_is_signed(pending_checkout: PendingRequestCheckout) -> None:
    with pytest.raises(Refused, match="no request rehearsal-production-20261122T201500Z-4f1c lies in"):
        typed(pending_checkout.root, approve, "rehearsal-production-20261122T201500Z-4f1c")

    gone = pending_checkout.ask(expires=timedelta(seconds=-1))
    with pytest.raises(Refused, match="waits for nobody: it was run, voided or has expired"):
        gone.approve(TINA.email)

    pending_checkout.log.append(parse("request.voided", {"cause": "drift"}), run=pending_checkout.run, actor=ACTOR)
    with pytest.raises(Refused, match="waits for nobody"):
        pending_checkout.approve(TINA.email)


def test_a_request_that_the_record_does_not_know_is_not_signed(pending_checkout: PendingRequestCheckout) -> None:
    """Somebody put a file under a run of their own."""
    run = new_run_id("production", SystemClock(), rehearsal=True)
    RunFolder(pending_checkout.log.store, run).create(
        "request.json", (pending_checkout.folder / "request.json").read_bytes()
    )

    with pytest.raises(Refused, match=r"the record holds no request\.made for it"):
        replace(pending_checkout, run=run).approve(TINA.email)


@pytest.mark.parametrize(
    "what, says", [("request.json", "is not the request that was made"), ("planned.diff", "is not the diff")]
)
def test_what_was_changed_since_it_was_planned_is_not_signed(
    pending_checkout: PendingRequestCheckout, what: str, says: str
) -> None:
    (changed,) = pending_checkout.folder.parent.rglob(what)
    changed.write_bytes(changed.read_bytes().replace(b"mood", b"food"))

    with pytest.raises(Refused, match=says):
        pending_checkout.approve(TINA.email)

    assert pending_checkout.events("approval.signed") == []


def test_an_override_counts_when_two_people_have_signed_the_same(pending_checkout: PendingRequestCheckout) -> None:
    pending_checkout.override(TINA.email)
    assert (
        pending_checkout.printed[-1] == "counts    not yet: a second person must sign the same, with the same incident"
    )

    pending_checkout.override(BOTH.email, incident="INC-8")
    assert pending_checkout.printed[-1].startswith("counts    not yet")

    pending_checkout.override(QUINN.email)
    assert pending_checkout.printed[-1] == "counts    yes"
    assert pending_checkout.events("override.signed") == [TINA.email, BOTH.email, QUINN.email]


@pytest.mark.parametrize(
    "gate, changes, says",
    [
        ("approvals", {}, "approvals cannot be overridden by anybody"),
        ("window", {"reason": " "}, "an override has a --reason and an --incident"),
        ("window", {"incident": ""}, "an override has a --reason and an --incident"),
    ],
)
def test_what_nobody_may_pass_over_is_not_signed(
    pending_checkout: PendingRequestCheckout, gate: str, changes: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        pending_checkout.override(TINA.email, gate, **changes)

    assert pending_checkout.events("override.signed") == []


def test_a_signature_that_was_laid_without_an_event_is_counted_by_the_next_run_once(
    pending_checkout: PendingRequestCheckout,
) -> None:
    pending_checkout.lay(TINA)
    assert pending_checkout.events("approval.signed") == []

    pending_checkout.take_in()
    pending_checkout.take_in()

    assert pending_checkout.events("approval.signed") == [TINA.email]
    pending_checkout.approve(QUINN.email)
    assert pending_checkout.printed[-1] == "missing   nobody: it may be run"


def test_a_signature_that_does_not_count_is_told_once_with_the_reason(pending_checkout: PendingRequestCheckout) -> None:
    forged, barred = pending_checkout.lay(TINA, key="stranger"), pending_checkout.lay(ADAM)

    pending_checkout.take_in()
    pending_checkout.take_in()

    refusals = {
        e.data["file"]: e.data["reason"]
        for e in pending_checkout.log.run(pending_checkout.run)
        if e.type == "approval.refused"
    }
    assert len(pending_checkout.events("approval.refused")) == 2
    assert "does not verify for tina@example.org" in refusals[forged]
    assert refusals.keys() == {forged, barred}
    assert pending_checkout.events("approval.signed") == []


def test_an_override_that_was_laid_without_events_counts_once_two_have_signed(
    pending_checkout: PendingRequestCheckout,
) -> None:
    pending_checkout.lay_override(TINA)
    pending_checkout.take_in()
    assert pending_checkout.events("override.signed") == [], "one person passes over nothing"

    pending_checkout.lay_override(QUINN)
    pending_checkout.take_in()
    pending_checkout.take_in()
    assert sorted(pending_checkout.events("override.signed")) == sorted([TINA.email, QUINN.email])


def test_nobody_signs_a_comment_that_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--comment holds characters that cannot be shown"):
        typed(tmp_path, approve, RUN, comment="fine\nmissing   nobody")


@pytest.mark.parametrize("word", ["reason", "incident"])
def test_nobody_signs_an_override_that_cannot_be_shown(tmp_path: Path, word: str) -> None:
    options: dict[str, Any] = {"reason": "the service is down", "incident": "INC-7"} | {word: "x\x1b[2J"}
    with pytest.raises(UsageError, match=f"--{word} holds characters that cannot be shown"):
        typed(tmp_path, override, "window", RUN, **options)
