"""What policy asks a signature to be made with: a token that was touched, or had its PIN. What is made with less does not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_deploy.approvals.overrides import incomplete_override, overrides
from pytest_deploy.approvals.record_signatures import record_signatures
from pytest_deploy.approvals.roster import Person
from pytest_deploy.approvals.sign_request import Rejection, sign_approval
from pytest_deploy.errors import Refused
from pytest_deploy.policy.user_verification import UserVerification
from pytest_deploy.record.meanings import REJECTS
from tests.unit.approvals.pending_request import BOTH, QUINN, RUN, TINA, PendingRequest
from tests.unit.record.fido_token import FLAGS, Token, agent


@dataclass
class WithTokens:
    """A request that waits; Tina and Quinn have a token each, everybody else a key in a file."""

    request: PendingRequest
    tokens: Mapping[str, Token]

    def approve(self, person: Person, flags: str, asked: UserVerification) -> str:
        """Sign as `deploy.py approve` does, with a token used like this; what its event says of that."""
        if person.email in self.tokens:
            self.tokens[person.email].flags = FLAGS[flags]
        event = sign_approval(
            self.request.log, self.request.store, RUN,
            person=person, role=person.roles[0], key=self.request.keys[person.email], comment="",
            now=self.request.clock.now(), user_verification=asked,
        )  # fmt: skip
        return str(event.data["user_verification"])

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in (self.request.store / "runs" / RUN / "approvals").glob("*"))


@pytest.fixture
def waiting(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, keys: Mapping[str, Path]
) -> Iterator[WithTokens]:
    """ssh-keygen signs with a public key alone: the agent has the token."""
    tokens = {TINA.email: Token("ed25519"), QUINN.email: Token("ecdsa")}
    for email, token in tokens.items():
        token.write_public(tmp_path / f"{email}.pub")
    on_tokens = {email: tmp_path / email for email in tokens}
    with agent(tmp_path_factory.mktemp("a") / "s", *tokens.values()) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        yield WithTokens(PendingRequest.set_up(tmp_path / "tokens", {**keys, **on_tokens}), tokens)


@pytest.mark.parametrize("asked, made_with", [("pin", "pin"), ("touch", "touch"), ("touch", "pin"), ("none", "none")])
def test_signatures_as_policy_asks_count_and_their_events_say_how_they_were_made(
    waiting: WithTokens, asked: UserVerification, made_with: str
) -> None:
    said = [waiting.approve(person, made_with, asked) for person in (TINA, QUINN)]

    evaluation = waiting.request.evaluation(user_verification=asked)

    assert said == [made_with, made_with]
    assert evaluation.filled == {"Tech Lead": TINA.email, "QA Lead": QUINN.email}


@pytest.mark.parametrize(
    "asked, made_with, why",
    [
        ("pin", "touch", "was signed with a token without its PIN"),
        ("pin", "none", "was signed with a token that nobody touched"),
        ("touch", "none", "was signed with a token that nobody touched"),
    ],
)
def test_a_signature_made_with_less_is_not_kept_and_does_not_count_where_it_lies(
    waiting: WithTokens, asked: UserVerification, made_with: str, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        waiting.approve(TINA, made_with, asked)
    assert waiting.kept == []

    waiting.request.put_statement(waiting.request.approval(TINA))

    assert why in waiting.request.why_not(user_verification=asked)
    assert waiting.request.evaluation().filled == {"Tech Lead": TINA.email}, "policy asks nothing"


def test_a_key_on_no_token_is_refused_before_it_signs_and_does_not_count(waiting: WithTokens) -> None:
    for asked in ("touch", "pin"):
        with pytest.raises(Refused, match=r"key on no token.*nothing was signed\. `ssh-keygen -t ed25519-sk"):
            waiting.approve(BOTH, "none", asked)
    assert waiting.kept == []

    waiting.request.put_statement(waiting.request.approval(BOTH))

    assert "was signed with a key on no token" in waiting.request.why_not(user_verification="touch")


def test_an_override_takes_two_signatures_as_policy_asks(waiting: WithTokens) -> None:
    waiting.tokens[QUINN.email].flags = FLAGS["touch"]
    for person in (TINA, QUINN):
        waiting.request.put_statement(waiting.request.override_statement(person))

    context = waiting.request.context(user_verification="pin")
    assert overrides(context) == {}
    assert "qa-lead-00000000.json: was signed with a token without its PIN" in incomplete_override(context, "window")
    assert set(overrides(waiting.request.context(user_verification="touch"))) == {"window"}


def test_a_rejection_counts_whatever_it_was_made_with(waiting: WithTokens) -> None:
    words = waiting.request.approval(BOTH)
    waiting.request.put_statement(
        Rejection(
            REJECTS,
            words.printed_name,
            words.signer,
            words.role,
            words.signed_at,
            words.request_sha256,
            words.run,
            "no",
        )
    )
    context = waiting.request.context(user_verification="pin")
    record_signatures(waiting.request.log, context, actor="system:pipeline")

    assert waiting.request.evaluation(user_verification="pin").rejected == ("Bo Both as Tech Lead: no",)


def test_a_quorum_that_nobodys_token_can_fill_is_named_by_the_plan(
    waiting: WithTokens, pending: PendingRequest
) -> None:
    assert waiting.request.evaluation(user_verification="pin").why_impossible == ""
    assert pending.evaluation().why_impossible == ""

    why = pending.evaluation(user_verification="pin").why_impossible

    assert "nobody is left to sign as QA Lead: held by nobody with a valid key on a token, which policy asks for" in why
