"""Which signatures count: the quorum that is reached, and each attack on it refused by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.sign_request import render
from pytest_deploy.errors import RecordTampered, Refused
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.meanings import APPROVES, OVERRIDES, TOLERANCE
from pytest_deploy.release.request import digest
from tests.unit.approvals.pending_request import (
    ADAM,
    BOTH,
    DEPLOYER,
    DORA,
    EXPIRES_IN,
    HOURS,
    LATER_RUN,
    NAMESPACE,
    QUINN,
    REQUEST,
    RUN,
    TINA,
    PendingRequest,
    public,
)


def test_two_people_fill_two_roles(pending: PendingRequest) -> None:
    pending.approve(TINA)
    pending.approve(QUINN)

    evaluation = pending.evaluation()

    assert {"Tech Lead": TINA.email, "QA Lead": QUINN.email} == evaluation.filled
    assert (evaluation.missing, evaluation.refused) == ((), ())


def test_one_signature_leaves_the_other_role_missing(pending: PendingRequest) -> None:
    pending.approve(QUINN)

    evaluation = pending.evaluation()

    assert ({"QA Lead": QUINN.email}, ("Tech Lead",)) == (evaluation.filled, evaluation.missing)


def test_a_signature_counts_before_any_event_does_and_after(pending: PendingRequest) -> None:
    pending.put_statement(pending.approval(TINA))

    (signed,) = pending.evaluation().counted

    assert (None, TINA.email) == (signed.event, signed.statement.signer)


def test_who_signed_last_is_moved_to_the_role_that_another_leaves_free(pending: PendingRequest) -> None:
    pending.approve(BOTH, "Tech Lead")
    pending.approve(BOTH, "QA Lead")
    pending.approve(TINA)

    assert {"Tech Lead": TINA.email, "QA Lead": BOTH.email} == pending.evaluation().filled


# --- attacks


def test_one_person_never_fills_two_roles(pending: PendingRequest) -> None:
    pending.approve(BOTH, "Tech Lead")
    pending.approve(BOTH, "QA Lead")

    evaluation = pending.evaluation()

    assert [BOTH.email] == list(evaluation.filled.values())
    assert len(evaluation.missing) == 1


def test_a_copy_of_a_signature_is_no_second_one(pending: PendingRequest) -> None:
    event = pending.approve(QUINN)
    place = pending.store / event.data["file"]
    pending.put("tech-lead-11111111.json", place.read_bytes(), place.with_name(f"{place.name}.sig").read_bytes())

    assert pending.evaluation().missing == ("Tech Lead",)


def test_the_deployer_cannot_approve(pending: PendingRequest) -> None:
    pending.put_statement(pending.approval(DORA, role="Tech Lead"))

    assert "Dora Deployer deploys this" in pending.why_not()


def test_who_asked_for_it_cannot_approve_whoever_deploys_it(pending: PendingRequest) -> None:
    pending.ask(LATER_RUN, by="local:1000:tina@desk")
    pending.put_statement(pending.approval(TINA, run=LATER_RUN), under=LATER_RUN)
    pending.put_statement(pending.approval(QUINN, run=LATER_RUN), under=LATER_RUN)

    evaluation = pending.evaluation(run=LATER_RUN)

    assert [(file.signer, file.reason) for file in evaluation.refused] == [
        (TINA.email, "Tina Tanaka asked for this, and cannot approve it")
    ]
    assert evaluation.filled == {"QA Lead": QUINN.email}


@pytest.mark.parametrize("part", ["deploys", "asked for"])
def test_who_is_in_the_roster_by_the_signature_of_who_deploys_or_asked_cannot_approve(
    pending: PendingRequest, part: str
) -> None:
    """An administrator who puts an approver in, gives the role up and deploys approves by another's hand."""
    pending.put_statement(pending.approval(TINA))
    by = {TINA.email: frozenset({DORA.email}), QUINN.email: frozenset({ADAM.email})}
    changes = {"roster": replace(pending.roster, put_in_by=by), "who": DORA.email if part == "deploys" else BOTH.email}

    assert pending.why_not(**changes) == (
        f"Tina Tanaka is in the roster by the signature of Dora Deployer, who {part} this, and cannot approve it"
    )
    pending.put_statement(pending.approval(QUINN))
    assert pending.evaluation(**changes).filled == {"QA Lead": QUINN.email}


def test_somebody_whom_nobody_knows_and_who_asked_for_it_blocks(pending: PendingRequest) -> None:
    pending.ask(LATER_RUN, by="local:1000:mallory@desk")

    assert "mallory@desk asked for it and is nobody in the roster" in pending.evaluation(run=LATER_RUN).why_impossible
    assert pending.evaluation().why_impossible == ""


@pytest.mark.parametrize(
    "email", ["adam@example.org", "ADAM@code.example"], ids=["author", "co-author by another e-mail"]
)
def test_who_wrote_part_of_the_release_cannot_approve(pending: PendingRequest, email: str) -> None:
    pending.approve(ADAM)

    assert "Adam Author wrote part" in pending.why_not(authors=(email,))
    assert ADAM.email in pending.evaluation(authors=("tina@home.example",)).filled.values()


@pytest.mark.parametrize(
    "meaning", ["REJECTS this request: do not deploy", "has seen this request", OVERRIDES, f"{APPROVES} "]
)
def test_a_signature_that_says_another_thing_than_that_it_approves_does_not(
    pending: PendingRequest, meaning: str
) -> None:
    pending.put_statement(pending.approval(TINA, meaning=meaning))

    assert pending.why_not() == f'means "{meaning}", which is no approval.signed: right is "{APPROVES}"'


def test_an_expired_key_signs_nothing(pending: PendingRequest) -> None:
    pending.clock.move(timedelta(days=366).total_seconds())
    pending.ask(LATER_RUN)
    said = pending.approval(TINA, run=LATER_RUN)

    with pytest.raises(Refused, match=r"is not valid for tina@example\.org now"):
        pending.approve(TINA, run=LATER_RUN)
    pending.put_statement(said, under=LATER_RUN)
    assert "does not verify" in pending.why_not(run=LATER_RUN)


def test_a_request_that_waits_loses_what_a_revoked_key_signed_and_says_so(pending: PendingRequest) -> None:
    pending.approve(TINA)
    pending.approve(QUINN)
    pending.override(BOTH)
    assert pending.evaluation().missing == ()
    pending.clock.move(10)

    pending.revoke(TINA)

    evaluation = pending.evaluation()
    assert ({"QA Lead": QUINN.email}, ("Tech Lead",)) == (evaluation.filled, evaluation.missing)
    (lost,) = evaluation.refused
    assert lost.signer == TINA.email
    assert re.fullmatch(r"was signed with the key SHA256:\S+, which ended \S+, before it was used", lost.reason)
    assert len(pending.context().overrides.counted) == 1
    pending.revoke(BOTH)
    assert pending.context().overrides.counted == ()


def test_another_holder_of_the_role_does_not_keep_a_revoked_signature_alive(pending: PendingRequest) -> None:
    pending.approve(TINA)
    pending.approve(QUINN)
    pending.clock.move(10)
    pending.revoke(TINA)
    assert pending.evaluation().missing == ("Tech Lead",)

    pending.approve(ADAM)

    assert {"Tech Lead": ADAM.email, "QA Lead": QUINN.email} == pending.evaluation().filled


def test_who_lost_a_key_signs_again_with_another(pending: PendingRequest) -> None:
    pending.approve(TINA)
    with pytest.raises(Refused, match="has signed this already"):
        pending.approve(TINA)
    pending.clock.move(10)
    pending.revoke(TINA)
    pending.clock.move(10)
    enrollment.enroll(
        pending.log, pending.store, [TINA], {TINA.email: public(pending.keys["second"])},
        namespace=NAMESPACE, now=pending.clock.now(), actor=DEPLOYER, reason="a new token",
    )  # fmt: skip

    pending.approve(TINA, key="second")

    assert pending.evaluation().filled == {"Tech Lead": TINA.email}


def test_a_revoked_key_signs_nothing_more(pending: PendingRequest) -> None:
    pending.clock.move(10)
    pending.revoke(TINA)
    pending.clock.move(10)

    pending.ask(LATER_RUN)
    with pytest.raises(Refused, match="is not valid"):
        pending.approve(TINA, run=LATER_RUN)
    pending.put_statement(pending.approval(TINA, run=LATER_RUN), under=LATER_RUN)
    assert "does not verify" in pending.why_not(run=LATER_RUN)


def test_a_revoked_key_cannot_date_itself_back_to_when_it_was_good(pending: PendingRequest) -> None:
    said = pending.approval(TINA)
    pending.clock.move(10)
    enrollment.revoke(pending.log, pending.store, TINA.email, reason="stolen", now=pending.clock.now(), actor=DEPLOYER)
    pending.clock.move(10)

    pending.put_statement(said)

    assert "does not verify for tina@example.org" in pending.why_not()


@pytest.mark.parametrize("namespace", ["git", "deploy-approval@other.example.org"])
def test_a_signature_made_for_another_purpose_does_not_count(pending: PendingRequest, namespace: str) -> None:
    pending.put_statement(pending.approval(TINA), namespace=namespace)

    assert "does not verify" in pending.why_not()


def test_anothers_key_does_not_sign_for_a_person(pending: PendingRequest) -> None:
    pending.put_statement(pending.approval(TINA), key="stranger")
    assert "does not verify for tina@example.org" in pending.why_not()

    with pytest.raises(Refused, match=r"is not valid for tina@example\.org"):
        pending.approve(TINA, key=QUINN.email)


def test_a_signature_moved_to_another_request_does_not_count(pending: PendingRequest) -> None:
    event = pending.approve(TINA)
    pending.ask(LATER_RUN, REQUEST.replace(b"sha256:e3", b"sha256:d3"))
    pending.copy(event, under=LATER_RUN)

    assert "signs another request" in pending.why_not(run=LATER_RUN)


def test_an_approval_is_not_good_for_a_later_run_of_the_same_bytes(pending: PendingRequest) -> None:
    """The later request asks for exactly the same; whose approval counts is bound to the run all the same."""
    event = pending.approve(TINA)
    pending.ask(LATER_RUN)
    pending.copy(event, under=LATER_RUN)

    assert f"signs another request: {RUN}" in pending.why_not(run=LATER_RUN)


def test_one_byte_of_the_request_changed_voids_every_signature(pending: PendingRequest) -> None:
    pending.approve(TINA)
    place = pending.store / "runs" / RUN / "request.json"
    place.chmod(0o644)
    place.write_bytes(REQUEST.replace(b"sha256:e3", b"sha256:d3"))

    assert "signs another request" in pending.why_not()


def test_a_request_swapped_before_it_is_signed_is_not_the_one_that_was_made(pending: PendingRequest) -> None:
    other = REQUEST.replace(b"sha256:e3", b"sha256:d3")
    place = pending.store / "runs" / RUN / "request.json"
    place.chmod(0o644)
    place.write_bytes(other)

    pending.put_statement(pending.approval(TINA, request_sha256=digest(other)))

    assert "not the one that was made" in pending.why_not()


def test_a_back_dated_approval_does_not_count(pending: PendingRequest) -> None:
    made = pending.context().events[0].instant
    pending.put_statement(pending.approval(TINA, signed_at=stamp(made - TOLERANCE - timedelta(milliseconds=1))))
    assert "is back-dated" in pending.why_not()

    pending.put_statement(pending.approval(TINA, signed_at=stamp(made - TOLERANCE)))
    assert TINA.email in pending.evaluation().filled.values()


def test_an_approval_dated_after_it_was_laid_down_does_not_count(pending: PendingRequest) -> None:
    now = pending.clock.now()
    pending.put_statement(pending.approval(TINA, signed_at=stamp(now + TOLERANCE + timedelta(milliseconds=1))))
    assert "after it was laid down" in pending.why_not()

    pending.put_statement(pending.approval(TINA, signed_at=stamp(now + TOLERANCE)))
    assert TINA.email in pending.evaluation().filled.values()


def test_an_approval_runs_out(pending: PendingRequest) -> None:
    pending.approve(TINA)
    pending.clock.move(EXPIRES_IN.total_seconds() - 0.001)
    assert TINA.email in pending.evaluation().filled.values()

    pending.clock.move(0.001)
    assert f"has expired: signed 2026-11-22T12:02:00.000Z, good for {HOURS:g} h" == pending.why_not()


def test_a_roster_edited_after_signing_is_not_read(pending: PendingRequest) -> None:
    pending.approve(TINA)
    newest = [event for event in pending.log.events() if event.type == "key.enrolled"][-1]
    roles = pending.store / newest.data["set"] / "roles.json"
    roles.chmod(0o644)
    roles.write_bytes(roles.read_bytes().replace(b'"QA Lead"', b'"Tech Lead"'))

    with pytest.raises(RecordTampered, match="edited after it came into force"):
        pending.evaluation()


def test_the_plain_copies_of_the_roster_are_judged_by_nobody(pending: PendingRequest) -> None:
    pending.approve(TINA)
    (pending.store / "trust" / "roles.json").write_bytes(b"{}\n")
    (pending.store / "trust" / "allowed_signers").write_bytes(b"")

    assert TINA.email in pending.evaluation().filled.values()


def test_garbage_in_a_slot_is_named_and_does_not_keep_others_out(pending: PendingRequest) -> None:
    """Whoever may write to the store can squat on a name that somebody would use; they sign under the next one."""
    short = next(key.short for key in pending.roster.keys if key.email == TINA.email)
    squatted = pending.put(f"tech-lead-{short}.json", b"garbage", b"garbage")

    event = pending.approve(TINA)

    assert squatted.replace(".json", "-2.json") == event.data["file"]
    evaluation = pending.evaluation()
    assert TINA.email in evaluation.filled.values()
    assert [squatted] == [one.file for one in evaluation.refused]
    assert "no canonical JSON" in evaluation.refused[0].reason


def _link(pending: PendingRequest) -> str:
    name = pending.put("b", b"", None)
    (pending.store / name).with_name("a.json").symlink_to(pending.store / name)
    return name


def _linked_signature(pending: PendingRequest) -> str:
    name = pending.put("a.json", render(pending.approval(TINA)), None)
    (pending.store / name).with_name("a.json.sig").symlink_to("/dev/null")
    return name


def _linked_approvals(pending: PendingRequest) -> None:
    elsewhere = pending.store / "elsewhere"
    elsewhere.mkdir()
    folder = pending.store / "runs" / RUN / "approvals"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(elsewhere)
    pending.put_statement(pending.approval(TINA))


def _pipe(pending: PendingRequest) -> None:
    """Reading it would wait for ever."""
    name = pending.put("b", b"", None)
    os.mkfifo((pending.store / name).with_name("a.json"))


def _unshown(pending: PendingRequest, signer: str) -> bytes:
    """As somebody writes it who does not use our tools: what UTF-8 cannot hold, escaped."""
    return canonical({**asdict(pending.approval(TINA)), "signer": signer})


def _folder(pending: PendingRequest) -> str:
    name = pending.put("b", b"", None)
    (pending.store / name).with_name("a.json").mkdir()
    return name


@pytest.mark.parametrize(
    "put, said",
    [
        (lambda pending: pending.put("a.json", render(pending.approval(TINA)), None), "its .sig is missing"),
        (lambda pending: pending.put("a.json", render(pending.approval(TINA)), b"no signature"), "does not verify"),
        (lambda pending: pending.put("a.json", render(pending.approval(TINA))[:-1], b""), "no canonical JSON object"),
        (lambda pending: pending.put("a.json", b"[" * 100_000, b""), "no canonical JSON: "),
        (lambda pending: pending.put("a.json", b"{}\n", b""), "must hold exactly"),
        (_link, "is a link"),
        (_linked_signature, "its .sig is a link"),
        (_linked_approvals, "is a link, no folder"),
        (_folder, "is a link or a folder, no file"),
        (_pipe, "is a link or a folder, no file"),
        (lambda pending: pending.put("a\x1b[2J\n.json", b"", b""), "its name holds characters that cannot be shown"),
        (lambda pending: pending.put(os.fsdecode(b"\xff.json"), b"", b""), "its name holds"),
        (lambda pending: pending.put("a.json", _unshown(pending, "\ud800"), b""), "signer holds characters that cannot be shown"),
        (lambda pending: pending.put_statement(pending.approval(TINA, printed_name="Quinn Quist")), "is Tina Tanaka in the roster"),
        (lambda pending: pending.put_statement(pending.approval(TINA, role="QA Lead")), "does not hold the role QA Lead"),
        (lambda pending: pending.put_statement(pending.approval(DORA)), "Deployment Manager is not asked for"),
        (lambda pending: pending.put_statement(pending.approval(TINA, signer="eve@x.org"), key="stranger"), "nobody in the roster"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_count_says_why(
    pending: PendingRequest, put: Callable[[PendingRequest], object], said: str
) -> None:
    put(pending)

    assert said in pending.why_not()


def test_a_file_changed_after_its_event_does_not_count(pending: PendingRequest) -> None:
    event = pending.approve(TINA)
    place = pending.store / event.data["file"]
    place.chmod(0o644)
    place.write_bytes(render(pending.approval(TINA, comment="and more")))

    assert f"is not the file that event {event.seq} counts" in pending.why_not()


def test_what_is_said_of_a_second_signature_by_the_same_person(pending: PendingRequest) -> None:
    pending.approve(TINA)

    with pytest.raises(Refused, match="has signed this already"):
        pending.approve(TINA)


def test_nobody_signs_for_a_role_they_do_not_hold(pending: PendingRequest) -> None:
    with pytest.raises(Refused, match="does not hold the role QA Lead: the roster says Tech Lead"):
        pending.approve(TINA, "QA Lead")


# --- who cannot be told


def test_an_author_whom_nobody_knows_blocks_unless_listed_as_outside(pending: PendingRequest) -> None:
    pending.approve(TINA)
    pending.approve(QUINN)

    evaluation = pending.evaluation(authors=("bot@example.org",))

    assert "bot@example.org wrote part of what is released and is nobody in the roster" in evaluation.why_impossible
    assert pending.evaluation(authors=("bot@example.org",), outside=("Bot@example.org",)).why_impossible == ""


def test_a_deployer_whom_nobody_knows_blocks(pending: PendingRequest) -> None:
    evaluation = pending.evaluation(who="local:1000:mallory@desk")

    assert "mallory@desk deploys and is nobody in the roster" in evaluation.why_impossible


def test_a_roster_that_can_never_fill_the_roles_is_told(pending: PendingRequest) -> None:
    evaluation = pending.evaluation(authors=(QUINN.email, BOTH.email))

    assert "nobody is left to sign as QA Lead: held by Bo Both, Quinn Quist" in evaluation.why_impossible
