"""What a signature means, and how long an override lasts, is judged by both verifiers, whoever made it and however."""

from __future__ import annotations

import hashlib
import subprocess
from typing import Any

import pytest

from pytest_deploy.record.event import canonical
from pytest_deploy.record.events import TYPES, parse
from pytest_deploy.record.events import fields as fields_of
from pytest_deploy.record.meanings import APPROVES, OVERRIDES
from tests.unit.verify.conftest import NAMESPACE, Signing
from tests.unit.verify.third_verifier import all_three


def put(signing: Signing, kind: str, *, unsaid: str = "", **says: Any) -> str:
    """Sign a statement by hand, past all commands, and count it with the log's key; its name in the store.

    `unsaid`: a key that the event leaves out.
    """
    said = {**signing.said, "comment": "", **says}
    if kind == "override.signed":
        del said["comment"]
    name = f"runs/{signing.run.run}/approvals/by-hand.json"
    path = signing.run.folder.create("approvals/by-hand.json", canonical(said))
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(signing.home / "ada"), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    digests = [hashlib.sha256((signing.store / file).read_bytes()).hexdigest() for file in (name, f"{name}.sig")]
    stated = {key: value or None for key, value in said.items() if key in fields_of(TYPES[kind]) and key != unsaid}
    data = {"file": name, "sha256": digests[0], "signature_sha256": digests[1], **stated}
    signing.log.append(parse(kind, data), run=signing.run.run, actor="system:pipeline")
    return name


OVERRIDE = {
    "meaning": OVERRIDES, "gate": "window", "incident": "INC-7", "reason": "patients cannot log in",
    "expires": "2026-11-23T12:00:00.000Z",
}  # fmt: skip
"""Of 12:00 the day before: 24 hours to the millisecond."""


@pytest.mark.parametrize(
    "meaning", ["REJECTS this request: do not deploy", "has seen this request", "", f"{APPROVES}.", APPROVES.upper()]
)
def test_a_signed_approval_that_says_another_thing_is_refused_by_both(signing: Signing, meaning: str) -> None:
    name = put(signing, "approval.signed", meaning=meaning or OVERRIDES)

    assert all_three(signing.store) == (False, name)
    assert f'means "{meaning or OVERRIDES}", which is no approval.signed: right is "{APPROVES}"' in signing.problems()


def test_a_signed_approval_that_says_that_it_approves_is_taken_by_both(signing: Signing) -> None:
    put(signing, "approval.signed", meaning=APPROVES)

    assert all_three(signing.store) == (True, "")


@pytest.mark.parametrize(
    "says, why",
    [
        ({"meaning": "does NOT answer for this"}, 'means "does NOT answer for this"'),
        ({"expires": "2036-11-22T12:00:00.000Z"}, "lasts longer than 24 h"),
        ({"expires": "2026-11-23T12:00:00.001Z"}, "lasts longer than 24 h"),
        ({"expires": "2026-11-22T12:00:00.000Z"}, "runs out before it is signed"),
        ({"expires": "9999-12-31T23:59:59.999Z"}, "lasts longer than 24 h"),
        ({"role": "Tech Lead"}, "another name or role"),
    ],
    ids=["meaning", "ten years", "a millisecond", "no time", "the last year", "a role not held"],
)
def test_an_override_beyond_what_one_may_be_is_refused_by_both(
    signing: Signing, says: dict[str, Any], why: str
) -> None:
    name = put(signing, "override.signed", **{**OVERRIDE, **says})

    assert all_three(signing.store) == (False, name)
    assert any(why in problem for problem in signing.problems())


def test_an_override_of_a_whole_day_is_taken_by_both(signing: Signing) -> None:
    put(signing, "override.signed", **OVERRIDE)

    assert all_three(signing.store) == (True, "")


@pytest.mark.parametrize(
    "kind, says",
    [("approval.signed", {"meaning": APPROVES}), ("override.signed", OVERRIDE)],
    ids=["approval", "override"],
)
@pytest.mark.parametrize(
    "signed_at, why",
    [
        ("2026-11-22T11:58:59.999Z", "is back-dated"),
        ("2026-11-22T12:01:00.001Z", "is dated 2026-11-22T12:01:00.001Z, after"),
        ("2026-02-30T12:00:00.000Z", "its signed_at is no UTC time"),
        ("soon", "its signed_at is no UTC time"),
    ],
)
def test_a_time_that_the_signer_cannot_have_had_is_refused_by_both(
    signing: Signing, kind: str, says: dict[str, Any], signed_at: str, why: str
) -> None:
    """The event may leave the time out: what was signed is judged all the same."""
    name = put(signing, kind, unsaid="signed_at", **{**says, "signed_at": signed_at})

    assert all_three(signing.store) == (False, name)
    assert any(why in problem for problem in signing.problems())
