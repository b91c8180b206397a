"""Where policy asks for a token and its PIN, the commands that sign refuse what would not count, and keep nothing of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.approvals.after_run import Thaw
from pytest_deploy.commands.approve import approve, override
from pytest_deploy.commands.ask import Question
from pytest_deploy.commands.sign_off import Signing
from pytest_deploy.errors import Refused
from pytest_deploy.policy.load import policy_of
from pytest_deploy.workspace import Workspace
from tests.unit.approvals.pending_request import BOTH, QUINN, TINA
from tests.unit.commands.pending_request_checkout import WINDOW, PendingRequestCheckout, set_up
from tests.unit.commands.typed import typed
from tests.unit.record.fido_token import FLAGS, Token, agent
from tests.unit.sample_environment import environment

TOKENS = {TINA.email: Token("ed25519"), QUINN.email: Token("ecdsa")}


@pytest.fixture
def checkout(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, keys: Mapping[str, Path]
) -> Iterator[PendingRequestCheckout]:
    """A request that waits in an environment that asks for a PIN; Tina and Quinn have tokens."""
    root = tmp_path / "checkout"
    environment(root)
    policy = root / "deploy.yaml"
    asks = "  local:\n    approval: {roles: [Tech Lead, QA Lead], user_verification: pin}\n"
    policy.write_text(
        policy.read_text().replace("  local:\n", asks, 1).replace("leave_out: [approval]", "leave_out: []")
    )
    on_tokens = {email: token.write_public(tmp_path / f"{email}.pub") for email, token in TOKENS.items()}
    for path in on_tokens.values():  # how the people are enrolled
        path.with_name(f"{path.name}.pub").write_text(path.read_text())
    with agent(tmp_path_factory.mktemp("a") / "s", *TOKENS.values()) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        yield set_up(root, {**keys, **on_tokens}, Workspace(root, "local"))


def kept(checkout: PendingRequestCheckout) -> list[Path]:
    return list((checkout.folder / "approvals").glob("*"))


def sign(checkout: PendingRequestCheckout, command: Any, email: str, flags: str = "pin") -> None:
    if email in TOKENS:
        TOKENS[email].flags = FLAGS[flags]
    given = (checkout.run,) if command is approve else ("window", checkout.run)
    options = {} if command is approve else WINDOW
    typed(checkout.root, command, *given, printed=checkout.printed, key=checkout.keys[email], **options)


@pytest.mark.parametrize("command", [approve, override])
def test_an_approval_or_override_is_signed_with_a_token_and_its_pin(
    checkout: PendingRequestCheckout, command: Any
) -> None:
    with pytest.raises(Refused, match="is a key on no token, and policy asks for a token and its PIN"):
        sign(checkout, command, BOTH.email)
    with pytest.raises(Refused, match="was signed with a token without its PIN"):
        sign(checkout, command, TINA.email, "touch")
    assert kept(checkout) == []

    sign(checkout, command, TINA.email)
    sign(checkout, command, QUINN.email)

    assert checkout.printed[-1] in {"missing   nobody: it may be run", "counts    yes"}
    assert {event.data.get("user_verification", "pin") for event in checkout.log.run(checkout.run)} == {"pin"}


def test_what_is_signed_after_a_run_is_asked_the_same(checkout: PendingRequestCheckout) -> None:
    signing = Signing.of(checkout.held.workspace, role="", key=checkout.keys[BOTH.email])

    assert signing.policy == policy_of(checkout.held.workspace)
    words = signing.signer_fields(Thaw.MEANING)
    with pytest.raises(Refused, match="is a key on no token"):
        signing.sign(
            Thaw(**words, origin=signing.log.key.origin, frozen=0, event_sha256="0" * 64, reason="mended"),
            Question(yes=True, show=False),
        )
