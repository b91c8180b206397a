"""The commands that a report prints, run as a reader would."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.conftest import skip_or_fail_missing


def run(store: Path, command: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("openssl") is None:
        skip_or_fail_missing("openssl", "apt-get install openssl")
    trust = store.parent / "elsewhere"
    if not trust.exists():
        shutil.copytree(store / "trust", trust)
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", command],
        cwd=store,
        env={"PATH": os.environ["PATH"], "TRUST": str(trust)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
