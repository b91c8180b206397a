"""Signatures by stock OpenSSH: `ssh-keygen -Y sign` and `-Y verify` (SSHSIG), so that anybody can repeat the check.

The one place that runs ssh-keygen.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Failed
from pytest_deploy.record import sshsig
from pytest_deploy.record.programs import system_program

_SIGN_S: Final = 300
"""Time to type a passphrase or touch a token."""
_ANSWER_S: Final = 30
"""Time for what asks nobody."""
_PROGRAM: Final = "ssh-keygen"
_MISSING: Final = "ssh-keygen is not installed: approvals are signed and verified with it (Debian: openssh-client)"
_GOOD = re.compile(r"with \S+ key (SHA256:\S+)")


def make_key(path: Path, *, comment: str) -> None:
    """Make an Ed25519 key without a passphrase, and its public half beside it. Raises Failed with what ssh-keygen said."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        ran = _run("-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    except FileNotFoundError:
        raise Failed(_MISSING) from None
    except subprocess.TimeoutExpired:
        raise Failed(f"ssh-keygen made no key {path.name} within {_ANSWER_S} s") from None
    if ran.returncode:
        raise Failed(f"ssh-keygen made no key {path.name}: {ran.stderr.decode(errors='replace').strip()}")


def sign(content: bytes, *, key: Path, namespace: str) -> bytes:
    """The armoured signature over `content` with a private key file, or with the agent's or token's key of a public one.

    Asks for passphrase, PIN and touch as ssh-keygen does. Raises Failed with what ssh-keygen said.
    """
    with tempfile.TemporaryDirectory(prefix="deploy-sign-") as folder:
        statement = Path(folder) / "statement"
        statement.write_bytes(content)
        try:
            # Not by `_run`: the signer's own locale, and their terminal where there is one.
            ran = subprocess.run(
                [system_program(_PROGRAM), "-Y", "sign", "-q", "-f", str(key), "-n", namespace, str(statement)],
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
        signature = statement.with_name("statement.sig")
        if ran.returncode or not signature.is_file():
            lines = ran.stderr.decode(errors="replace").strip().splitlines()
            raise Failed(
                f"ssh-keygen did not sign with {key.name}: {lines[-1] if lines else f'exit {ran.returncode}'}; "
                "nothing was signed"
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
        return verify_files(
            content, signature=armoured, allowed_signers=allowed, signer=signer, namespace=namespace, at=at
        )


def verify_files(
    content: bytes,
    *,
    signature: Path,
    allowed_signers: Path,
    signer: str,
    namespace: str,
    at: datetime,
    occasion: str = "",
) -> tuple[str, str]:
    """The same with signature and allowed signers in files; `occasion` says in the refusal which instant that is."""
    try:
        ran = _run(
            *("-Y", "verify", "-f", str(allowed_signers), "-I", signer, "-n", namespace),
            *("-O", f"verify-time={at:%Y%m%d%H%M%SZ}", "-s", str(signature)),
            content=content,
        )
    except FileNotFoundError:
        return "", f"cannot be checked: {_MISSING}"
    except subprocess.TimeoutExpired:
        return "", f"cannot be checked: ssh-keygen gave no answer in {_ANSWER_S} s"
    except ValueError:
        return "", "does not verify: the signer's name holds a character that no command can be given"
    answer = (ran.stdout + ran.stderr).decode("utf-8", "replace")
    good = _GOOD.search(answer)
    if ran.returncode == 0 and good is not None:
        return _agreed(good[1], content, signature, allowed_signers, signer=signer, namespace=namespace, at=at)
    lines = answer.strip().splitlines()
    return "", f"does not verify for {signer}{occasion}: {lines[-1] if lines else 'refused'}"


def _agreed(
    fingerprint: str, content: bytes, signature: Path, allowed: Path, *, signer: str, namespace: str, at: datetime
) -> tuple[str, str]:
    """What ssh-keygen calls good is checked once more in this process; as `verify`."""
    try:
        checked = sshsig.check(content, signature.read_bytes(), namespace=namespace)
    except sshsig.BadSignature as error:
        return "", f"does not verify for {signer}: ssh-keygen says that it does, and checked here {error}"
    if checked.fingerprint != fingerprint or signer not in sshsig.signer_of(checked, allowed.read_bytes(), at=at):
        return "", (
            f"does not verify for {signer}: ssh-keygen says that it does, and checked here its key {checked.fingerprint} "
            "is not one that they may sign with then"
        )
    return fingerprint, ""


def _run(*words: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [system_program(_PROGRAM), *words],
        env={**os.environ, "LC_ALL": "C"},
        input=content,
        capture_output=True,
        timeout=_ANSWER_S,
        check=False,
    )
