"""The verifier in the store, `verify.sh`, beside ours: what each says of a record, and whether they agree."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.verify.verify import verify
from tests.required_programs import needs


@dataclass(frozen=True)
class Opinion:
    """What verify.sh said."""

    ok: bool
    text: str


def second_opinion(store: Path, *arguments: str) -> Opinion:
    """Run the script that the store carries, where it lies."""
    needs("openssl")
    needs("ssh-keygen")
    done = subprocess.run([store / "verify.sh", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in {0, 1}, done
    assert done.stderr == ""
    return Opinion(done.returncode == 0, done.stdout)


def both(store: Path, *, anchor: str | Sequence[str] | None = None, trust_root: str = "") -> tuple[bool, str]:
    """The verdict and the bad file on which both agree (empty where there is none)."""
    given = [anchor] if isinstance(anchor, str) else anchor or ()
    ours = verify(store, anchor=given, trust_root=trust_root)
    rooted = ("--trust-root", trust_root) if trust_root else ()
    theirs = second_opinion(store, *(word for line in given for word in ("--anchor", line)), *rooted)
    assert ours.ok == theirs.ok, (ours.findings, theirs.text)
    if ours.ok:
        assert f"verified: {ours.size} events, root {ours.root}, log {ours.origin}\n" in theirs.text
        return True, ""
    place = theirs.text.removeprefix("NOT VERIFIED: ").partition(": ")[0]
    assert any(place in str(finding) for finding in ours.findings), (ours.findings, theirs.text)
    return False, place
