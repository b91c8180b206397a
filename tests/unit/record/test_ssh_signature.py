"""Signatures by stock ssh-keygen: what it signs anybody can check, and what it cannot do is told."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pytest_deploy.approvals.roster import fingerprint_of
from pytest_deploy.errors import Failed, UsageError
from pytest_deploy.record import programs
from pytest_deploy.record.ssh_signature import sign, verify
from tests.unit.approvals.pending_request import NAMESPACE, TINA, PendingRequest


def test_a_signature_verifies_for_its_signer_and_nobody_else(pending: PendingRequest) -> None:
    signature = sign(b"said", key=pending.keys[TINA.email], namespace=NAMESPACE)
    allowed = pending.roster.files()["allowed_signers"]

    def verified(content: bytes, signer: str) -> tuple[str, str]:
        return verify(
            content, signature, allowed_signers=allowed, signer=signer, namespace=NAMESPACE, at=pending.clock.now()
        )

    assert (fingerprint_of(pending.keys[TINA.email]), "") == verified(b"said", TINA.email)
    assert "does not verify for quinn@example.org" in verified(b"said", "quinn@example.org")[1]
    assert "does not verify for tina@example.org" in verified(b"sait", TINA.email)[1]


def test_a_key_in_the_agent_signs_for_its_public_half(pending: PendingRequest, tmp_path: Path) -> None:
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True, timeout=30)
    found = dict(re.findall(r"(SSH_\w+)=([^;]+);", started.stdout))
    try:
        env = {**os.environ, **found}
        subprocess.run(
            ["ssh-add", "-q", str(pending.keys[TINA.email])], env=env, check=True, capture_output=True, timeout=30
        )
        only_public = tmp_path / "tina.pub"
        only_public.write_bytes(pending.keys[TINA.email].with_name(f"{TINA.email}.pub").read_bytes())

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSH_AUTH_SOCK", found["SSH_AUTH_SOCK"])
            pending = PendingRequest(
                pending.log, pending.store, pending.clock, {**pending.keys, TINA.email: only_public}
            )
            pending.approve(TINA)
    finally:
        subprocess.run(["kill", found["SSH_AGENT_PID"]], check=True, timeout=30)

    assert TINA.email in pending.evaluation().filled.values()


def test_a_key_with_a_passphrase_and_nobody_to_type_it_signs_nothing(tmp_path: Path) -> None:
    key = tmp_path / "locked"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(key)]
    subprocess.run(words, check=True, capture_output=True, timeout=30)

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DISPLAY", raising=False)
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        with pytest.raises(Failed, match=r"did not sign with locked: .*nothing was signed"):
            sign(b"said", key=key, namespace=NAMESPACE)


def test_without_ssh_keygen_nothing_is_signed_and_nothing_verifies(pending: PendingRequest, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        patch.setattr(programs, "SYSTEM_FOLDERS", ())
        with pytest.raises(Failed, match="ssh-keygen is not installed"):
            sign(b"said", key=pending.keys[TINA.email], namespace=NAMESPACE)
        found = verify(b"", b"", allowed_signers=b"", signer="", namespace=NAMESPACE, at=pending.clock.now())

    assert "cannot be checked: ssh-keygen is not installed" in found[1]


def test_a_file_that_holds_no_public_key_has_no_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")

    with pytest.raises(
        UsageError, match=r"no public key in it nor in key\.pub; ssh-keygen -y -f key > key\.pub makes it"
    ):
        fingerprint_of(tmp_path / "key")
