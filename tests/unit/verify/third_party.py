"""The third party's verifier, `peer/`, compiled once."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import skip_or_fail_missing
from tests.required_programs import needs

LIBRARIES = {"mod": "sumdb/tlog", "crypto": "ssh"}


@dataclass(frozen=True)
class Peer:
    program: Path

    def says(self, store: Path) -> tuple[bool, str]:
        done = subprocess.run([self.program, store], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) in {(0, ""), (1, "")}, done
        return done.returncode == 0, done.stdout.rstrip("\n")


def compiled(folder: Path) -> Peer:
    """The program, compiled with what Debian packages: nothing is fetched."""
    needs("go")
    for name, package in LIBRARIES.items():
        if not (Path("/usr/share/gocode/src/golang.org/x") / name / package).is_dir():
            skip_or_fail_missing(f"Go's x/{name}", f"apt-get install golang-golang-x-{name}-dev")
    offline = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder / "cache"), "GOPROXY": "off"}
    sources = sorted((Path(__file__).parent / "peer").glob("*.go"))
    done = subprocess.run(
        ["go", "build", "-o", str(folder / "peer"), *map(str, sources)],
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Peer(folder / "peer")
