"""Signatures by stock OpenSSH: `ssh-keygen -Y sign` and `-Y verify` (SSHSIG), so that anybody can repeat the check."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Failed

_SIGN_S: Final = 300
"""Time to type a passphrase or touch a token."""
_VERIFY_S: Final = 30
_MISSING: Final = "ssh-keygen is not installed: approvals are signed and verified with it (Debian: openssh-client)"
_GOOD = re.compile(r"with \S+ key (SHA256:\S+)")


def sign(content: bytes, *, key: Path, namespace: str) -> bytes:
    """The armoured signature over `content` with a private key file, or with the agent's or token's key of a public one.

    Asks for passphrase, PIN and touch as ssh-keygen does. Raises Failed with what ssh-keygen said.
    """
    with tempfile.TemporaryDirectory(prefix="deploy-sign-") as folder:
        path = Path(folder) / "statement"
        path.write_bytes(content)
        words = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", namespace, str(path)]
        try:
            ran = subprocess.run(
                words,
                stdin=None if sys.stdin is not None and sys.stdin.isatty() else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_SIGN_S,
                check=False,
            )
        except FileNotFoundError:
            raise Failed(_MISSING) from None
        except subprocess.TimeoutExpired:
            raise Failed(
                f"ssh-keygen did not sign within {_SIGN_S} s: was a passphrase or a touch wanted? nothing was signed"
            ) from None
        signature = path.with_name("statement.sig")
        if ran.returncode or not signature.is_file():
            said = ran.stderr.decode(errors="replace").strip().splitlines()
            raise Failed(
                f"ssh-keygen did not sign with {key.name}: {said[-1] if said else f'exit {ran.returncode}'}; nothing was signed"
            )
        return signature.read_bytes()


def verify(
    content: bytes, signature: bytes, *, allowed_signers: bytes, signer: str, namespace: str, at: datetime
) -> tuple[str, str]:
    """(fingerprint of the key, "") where the signature is the signer's at an instant, else ("", why not).

    `at` is the log's time of the event that counts it, never what the signer claims.
    """
    with tempfile.TemporaryDirectory(prefix="deploy-verify-") as folder:
        allowed, armoured = Path(folder) / "allowed_signers", Path(folder) / "statement.sig"
        allowed.write_bytes(allowed_signers)
        armoured.write_bytes(signature)
        words = [
            *("ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", signer, "-n", namespace),
            *("-O", f"verify-time={at:%Y%m%d%H%M%SZ}", "-s", str(armoured)),
        ]
        try:
            ran = subprocess.run(words, input=content, capture_output=True, timeout=_VERIFY_S, check=False)
        except FileNotFoundError:
            return "", f"cannot be checked: {_MISSING}"
        except subprocess.TimeoutExpired:
            return "", f"cannot be checked: ssh-keygen gave no answer in {_VERIFY_S} s"
    said = (ran.stdout + ran.stderr).decode("utf-8", "replace")
    good = _GOOD.search(said)
    if ran.returncode == 0 and good is not None:
        return good[1], ""
    lines = said.strip().splitlines()
    return "", f"does not verify for {signer}: {lines[-1] if lines else 'refused'}"
