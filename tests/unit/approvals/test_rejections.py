"""A rejection stops a request, whoever else has signed, until who rejected it approves it; it is not got rid of otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_deploy.approvals.record_signatures import record_signatures
from pytest_deploy.approvals.sign_request import Rejection, sign_rejection
from pytest_deploy.errors import IllegalEvent, Refused
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RequestRejected
from pytest_deploy.record.lease import take
from pytest_deploy.record.meanings import REJECTS
from pytest_deploy.release.request import digest
from tests.unit.approvals.pending_request import ADAM, BOTH, DEPLOYER, DORA, QUINN, REQUEST, RUN, TINA, PendingRequest
from tests.unit.record.sample_record import RunWriter, opened_data
from tests.unit.verify.altered_record import append_unchecked
from tests.unit.verify.third_verifier import all_three

WORDS = "Quinn Quist as QA Lead: the migration locks the table"


def reject(pending: PendingRequest, reason: str = "the migration locks the table") -> Event:
    """Sign as `deploy.py reject` does."""
    return sign_rejection(
        pending.log, pending.store, RUN,
        person=QUINN, role="QA Lead", key=pending.keys[QUINN.email], reason=reason, now=pending.clock.now(),
    )  # fmt: skip


def lay(pending: PendingRequest, **changes: str) -> str:
    """A rejection signed where the log's key is not at hand; its name in the store."""
    said = {
        "meaning": REJECTS, "printed_name": QUINN.printed_name, "signer": QUINN.email, "role": "QA Lead",
        "signed_at": stamp(pending.clock.now()), "request_sha256": digest(REQUEST), "run": RUN,
        "reason": "the migration locks the table", **changes,
    }  # fmt: skip
    return pending.put_statement(Rejection(**said))


def approve_by_two(pending: PendingRequest) -> None:
    pending.approve(TINA)
    pending.approve(QUINN)
    pending.clock.move(10)
    assert (pending.evaluation().missing, pending.evaluation().rejected) == ((), ())


def test_a_rejection_stops_what_others_have_approved_until_its_signer_approves(pending: PendingRequest) -> None:
    pending.approve(TINA)
    reject(pending)
    pending.approve(BOTH, "QA Lead")
    assert (pending.evaluation().missing, pending.evaluation().rejected) == ((), (WORDS,))
    pending.clock.move(10)

    pending.approve(QUINN)

    assert (pending.evaluation().missing, pending.evaluation().rejected) == ((), ())
    assert all_three(pending.store) == (True, "")


def test_who_has_approved_may_reject_and_approve_again(pending: PendingRequest) -> None:
    approve_by_two(pending)
    reject(pending)
    assert pending.evaluation().rejected == (WORDS,)
    with pytest.raises(Refused, match="has signed this already"):
        reject(pending)
    pending.clock.move(10)

    pending.approve(QUINN)

    assert pending.evaluation().rejected == ()
    pending.clock.move(10)
    reject(pending, "it still does")
    assert pending.evaluation().rejected == ("Quinn Quist as QA Lead: it still does",)


@pytest.mark.parametrize(
    "how", ["its file is removed", "its file is another's", "its key is revoked", "an older approval"]
)
def test_a_rejection_is_not_got_rid_of(pending: PendingRequest, how: str) -> None:
    approve_by_two(pending)
    earlier = pending.approval(QUINN)
    pending.clock.move(10)
    path = pending.store / reject(pending).read(RequestRejected).file
    pending.clock.move(10)
    if how == "its file is removed":
        path.unlink()
    elif how == "its file is another's":
        path.write_bytes(b"{}\n")
    elif how == "its key is revoked":
        pending.revoke(QUINN)
    else:
        pending.put_statement(earlier)
        record_signatures(pending.log, pending.context(), actor="system:pipeline")

    assert pending.evaluation().rejected == (WORDS,)


def test_a_rejection_counts_where_the_logs_key_is_not_at_hand_and_is_counted_by_the_next_run(
    pending: PendingRequest,
) -> None:
    approve_by_two(pending)
    lay(pending)
    assert pending.evaluation().rejected == (WORDS,)

    record_signatures(pending.log, pending.context(), actor="system:pipeline")

    assert pending.evaluation().rejected == (WORDS,)
    assert [event.type for event in pending.log.run(RUN)][-1] == "request.rejected"
    assert all_three(pending.store) == (True, "")


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"meaning": "approves the deployment of this request"}, "which is no request.rejected"),
        ({"signer": DORA.email, "printed_name": DORA.printed_name, "role": "Tech Lead"}, "Dora Deployer deploys this"),
        ({"role": "Tech Lead"}, "does not hold the role Tech Lead"),
        ({"request_sha256": "0" * 64}, "signs another request"),
    ],
    ids=["meaning", "the deployer", "role", "request"],
)
def test_a_rejection_that_is_none_stops_nothing_and_is_named(
    pending: PendingRequest, changes: dict[str, str], why: str
) -> None:
    approve_by_two(pending)
    lay(pending, **changes)

    assert pending.evaluation().rejected == ()
    assert any(why in file.reason for file in pending.evaluation().refused)


def test_who_could_not_take_it_back_rejects_nothing(pending: PendingRequest) -> None:
    """Who is in the roster by the deployer's signature cannot approve, and to approve is how a rejection is taken back."""
    approve_by_two(pending)
    lay(pending)
    roster = replace(pending.roster, put_in_by={QUINN.email: frozenset({DORA.email})})

    assert pending.evaluation(roster=roster).rejected == ()
    assert pending.evaluation().rejected == (WORDS,)


def test_no_run_opens_on_a_request_that_is_rejected_whoever_holds_the_logs_key(pending: PendingRequest) -> None:
    """The log refuses it, and all three verifiers would: a gate's word is not needed."""
    approve_by_two(pending)
    reject(pending)
    lease = take(pending.log, RUN, name="local", actor=DEPLOYER)
    writer = RunWriter(pending.log, RUN)
    writer.lease = lease

    with pytest.raises(IllegalEvent, match="is rejected, and who rejected it did not approve it since"):
        writer.open_under_lease(request_sha256=digest(REQUEST))
    pending.clock.move(10)
    pending.approve(QUINN)
    writer.open_under_lease(request_sha256=digest(REQUEST))
    assert all_three(pending.store) == (True, "")


@pytest.mark.parametrize("approves", [False, True], ids=["it stands", "taken back"])
def test_a_run_that_opened_on_a_rejected_request_does_not_verify(pending: PendingRequest, *, approves: bool) -> None:
    """Written past the log, by whoever holds its key."""
    reject(pending)
    pending.clock.move(10)
    if approves:
        pending.approve(QUINN)
    take(pending.log, RUN, name="local", actor=DEPLOYER)
    seq = append_unchecked(pending.log, "run.opened", opened_data(request_sha256=digest(REQUEST)), RUN)

    assert all_three(pending.store) == ((True, "") if approves else (False, entries.name(seq)))


def test_an_author_cannot_reject_since_they_could_not_take_it_back(pending: PendingRequest) -> None:
    lay(pending, signer=ADAM.email, printed_name=ADAM.printed_name, role="Tech Lead")

    assert pending.evaluation(authors=(ADAM.email,)).rejected == ()
    assert pending.evaluation().rejected == ("Adam Author as Tech Lead: the migration locks the table",)
