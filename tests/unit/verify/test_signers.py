"""One alphabet of addresses to sign under: both verifiers read it, both refuse any other, and so does enrolment."""

from __future__ import annotations

import pytest

from tests.unit.record.sample_record import RunWriter
from tests.unit.verify.conftest import NAMESPACE, VALID, Signing
from tests.unit.verify.third_verifier import all_three


def sign_as(signing: Signing, signer: str) -> None:
    """Ada's key and roster entry under an address, written into the record past all commands, and its approval."""
    kind, public = (signing.home / "ada.pub").read_text().split()[:2]
    signing.enroll(f'{signer} namespaces="{NAMESPACE}",{VALID} {kind} {public}\n', signer)
    run = signing.run = RunWriter(signing.log).planned_request()
    request = signing.log.run(run.run)[0].data["request_sha256"]
    signing.said |= {"signer": signer, "run": run.run, "request_sha256": request}
    signing.sign()
    signing.count()


@pytest.mark.parametrize("signer", ["o'neil/y=z$%&^_`{|}~.-@xn--mnchen-3ya.example", "-n@a", "a@1.2"])
def test_an_address_of_the_signers_alphabet_is_read_by_both(signing: Signing, signer: str) -> None:
    sign_as(signing, signer)

    assert all_three(signing.store) == (True, "")


@pytest.mark.parametrize(
    "signer",
    [
        "zo\u00eb@example.org",
        "d\u043era@example.org",
        "Ada@example.org",
        "a\\b@example.org",
        "ada@example.org.",
        "ada+1@example.org",
    ],
)
def test_any_other_address_is_refused_by_both(signing: Signing, signer: str) -> None:
    """Letters beyond ASCII, one that looks like another, capitals, a backslash, a second way to write a domain or a mailbox."""
    sign_as(signing, signer)

    assert all_three(signing.store) == (False, f"runs/{signing.run.run}/approvals/qa-lead-01234567.json")
    assert "no address that a person signs under" in signing.problems()[0]
