"""What a signature was made with, as the flags in it say, and what policy asks: judged by all three verifiers from the record alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.record.fido_token import FLAGS, Kind, Token
from tests.unit.record.sample_record import policy_text
from tests.unit.verify.insider import FILLED, OVERRIDDEN, PRODUCTION, RULES_OF_PRODUCTION, Insider, approvals
from tests.unit.verify.third_verifier import all_three


def asking(home: Path, asked: object, *, kind: Kind = "ed25519", quinn: str | None) -> Insider:
    """A request under a policy that asks this (None: an older one, without the key), by people whose events say what is true.

    Tina signs with a token and its PIN; Quinn with a token used like this, or with a key in a file.
    """
    tokens = {"tina": Token(kind)} | ({} if quinn is None else {"quinn": Token(kind, FLAGS[quinn])})
    approval = RULES_OF_PRODUCTION["approval"] | ({} if asked is None else {"user_verification": asked})
    insider = Insider.begin(home, policy=policy_text(**{**RULES_OF_PRODUCTION, "approval": approval}), tokens=tokens)
    insider.says = {"tina": "pin", "quinn": quinn or "none"}
    return insider


# --- an event says of a signature what the signature says


@pytest.mark.parametrize(
    "kind, quinn", [("ed25519", None), ("ed25519", "none"), ("ecdsa", "touch"), ("ed25519", "pin"), ("ecdsa", "pin")]
)
def test_an_event_may_say_what_its_signature_was_made_with(tmp_path: Path, kind: Kind, quinn: str | None) -> None:
    insider = asking(tmp_path, "none", kind=kind, quinn=quinn)
    insider.approve("tina", "quinn").open().ask().deploy().stands()


@pytest.mark.parametrize(
    "kind, quinn, said",
    [
        ("ed25519", None, "pin"),
        ("ed25519", "none", "touch"),
        ("ed25519", "touch", "pin"),
        ("ecdsa", "touch", "pin"),
        ("ecdsa", "none", "pin"),
        ("ed25519", "pin", "none"),
    ],
)
def test_an_event_may_not_say_another(tmp_path: Path, kind: Kind, quinn: str | None, said: str) -> None:
    insider = asking(tmp_path, "none", kind=kind, quinn=quinn)
    insider.says["quinn"] = said
    insider.approve("tina", "quinn").open().ask().deploy()

    assert all_three(insider.store) == (False, f"runs/{insider.run.run}/approvals/quinn.json.sig")


def test_neither_may_an_override_or_a_rejection(tmp_path: Path) -> None:
    for name, sign in (("override", Insider.override), ("reject", Insider.reject)):
        (tmp_path / name).mkdir()
        insider = asking(tmp_path / name, "none", quinn="touch")
        insider.says["quinn"] = "pin"
        sign(insider, "quinn")

        well, place = all_three(insider.store)
        assert (well, place.endswith("quinn.json.sig")) == (False, True)


# --- a passed gate rests on signatures that were made with what policy asks


@pytest.mark.parametrize(
    "asked, quinn",
    [
        ("pin", "pin"),
        ("touch", "touch"),
        ("touch", "pin"),
        ("none", None),
        ("none", "none"),
        (None, None),
        (None, "touch"),
    ],
)
def test_a_run_goes_on_with_signatures_as_policy_asks(tmp_path: Path, asked: str | None, quinn: str | None) -> None:
    asking(tmp_path, asked, quinn=quinn).approve("tina", "quinn").open().ask().deploy().stands()


@pytest.mark.parametrize(
    "asked, quinn", [("pin", "touch"), ("pin", "none"), ("pin", None), ("touch", "none"), ("touch", None)]
)
def test_a_verdict_that_counts_a_weaker_signature_is_refused(tmp_path: Path, asked: str, quinn: str | None) -> None:
    insider = asking(tmp_path, asked, quinn=quinn).approve("tina", "quinn").open().ask().deploy()

    insider.refused_at(insider.seq_of("gate.passed", gate="approvals"), "and policy asks for a token")


def test_an_event_that_says_nothing_counts_as_any_key(tmp_path: Path) -> None:
    insider = asking(tmp_path, "pin", quinn="pin")
    del insider.says["quinn"]
    insider.approve("tina", "quinn").open().ask().deploy()

    insider.refused_at(insider.seq_of("gate.passed", gate="approvals"), "made with any key")


def test_who_signs_again_with_the_token_counts(tmp_path: Path) -> None:
    insider = asking(tmp_path, "pin", quinn="touch").approve("tina", "quinn")
    insider.tokens["quinn"].flags = FLAGS["pin"]
    insider.says["quinn"] = "pin"
    insider.approve("quinn", file="{}-2.json").open().ask().deploy().stands()


def test_a_verdict_before_the_run_opens_is_held_to_its_policy_when_it_does(tmp_path: Path) -> None:
    for quinn in ("pin", "touch"):
        (tmp_path / quinn).mkdir()
        insider = asking(tmp_path / quinn, "pin", quinn=quinn).approve("tina", "quinn")
        insider.run.ask_gates("lease", approvals={"inputs": approvals(FILLED)})
        insider.open()
        if quinn == "pin":
            insider.ask().deploy().stands()
        else:
            insider.refused_at(insider.seq_of("run.opened"), "a token that was touched")


def test_an_override_rests_on_such_signatures_too(tmp_path: Path) -> None:
    for quinn in ("pin", "touch"):
        (tmp_path / quinn).mkdir()
        insider = asking(tmp_path / quinn, "pin", quinn="pin").approve("tina", "quinn")
        insider.tokens["quinn"].flags = FLAGS[quinn]
        insider.says["quinn"] = quinn
        insider.override("tina", "quinn").open().ask(window={"inputs": {"override": OVERRIDDEN}}).deploy()
        if quinn == "pin":
            insider.stands()
        else:
            insider.refused_at(insider.seq_of("gate.passed", gate="window"), "a token that was touched")


def test_a_rejection_stands_whatever_it_was_made_with(tmp_path: Path) -> None:
    insider = asking(tmp_path, "pin", quinn="pin").approve("tina", "quinn").open()
    insider.tokens["quinn"].flags = 0
    insider.says["quinn"] = "none"
    insider.reject("quinn").ask().run.close("failed")

    insider.refused_at(insider.seq_of("gate.passed", gate="approvals"), "quinn@example.org rejected the request")


@pytest.mark.parametrize("asked", ["face", "", 2, True, [], {}, None], ids=repr)
def test_a_policy_that_asks_for_something_else_is_none(tmp_path: Path, asked: object) -> None:
    """With null in it too: an older policy has no such key."""
    approval = {**RULES_OF_PRODUCTION["approval"], "user_verification": asked}
    insider = Insider.begin(tmp_path, policy=policy_text(**{**RULES_OF_PRODUCTION, "approval": approval}))
    insider.approve("tina", "quinn").open()
    insider.run.policy = PRODUCTION  # whose gates are those that are asked
    insider.ask().deploy()

    insider.refused_at(insider.seq_of("step.started", changes=True), "a policy whose text is not in the record")
