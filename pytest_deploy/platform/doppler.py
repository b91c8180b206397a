"""Secrets of an environment out of Doppler, by its own program: `doppler secrets download`, whose token stands in DOPPLER_TOKEN.

Doppler's program keeps what it fetched and reads that where the API does not answer (`--fallback`): a deployment would go on
with yesterday's secrets. So it is told not to, and nothing of it lies on a disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.bounded_output import Ran, run_bounded
from pytest_deploy.errors import Failed, Refused
from pytest_deploy.platform.program_search import find_program, search_path

TOKEN: Final = "DOPPLER_TOKEN"  # noqa: S105 - the variable's name
_ONE_TRY_S: Final = 10
_ALL_TRIES_S: Final = 60.0
"""Of one call: its program repeats what gets no answer."""
_PAUSE_S: Final = 1.0
_HANDED_ON: Final = (
    TOKEN,
    "DOPPLER_API_HOST",
    "HOME",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
)
"""Of this process's variables, what the program is given."""


@dataclass(frozen=True)
class DopplerSecrets:
    """One config of a Doppler project."""

    project: str
    config: str

    def __str__(self) -> str:
        return f"Doppler's {self.project}/{self.config}"

    def fetch(self, names: Sequence[str]) -> Mapping[str, str]:
        """The values of these names, each with something in it.

        Raises Refused: nobody is signed in, the program is not there, Doppler refuses or does not answer, a name is not there
        or has an empty value; each by its own words. No value is in any of them.
        """
        if not os.environ.get(TOKEN):
            raise Refused(f"{self}: {TOKEN} is empty or not set; give this job a service token of that config")
        found = self._download()
        if missing := [name for name in names if name not in found]:
            raise Refused(
                f"{self} has no {', '.join(missing)}; add it there, or take it out of `secrets` in deploy.yaml"
            )
        if empty := [name for name in names if not found[name]]:
            raise Refused(f"{self}: {', '.join(empty)} is empty there, which is no secret; give it its value")
        return {name: found[name] for name in names}

    def _download(self) -> dict[str, str]:
        with tempfile.TemporaryDirectory(prefix="doppler-") as folder:
            ran = self._run(Path(folder))
            if ran.code != 0 and _remedy_of(ran.stderr.text) is None:  # no answer, or a fault of Doppler's own
                time.sleep(_PAUSE_S)
                ran = self._run(Path(folder))
        if ran.code != 0:
            # Its program quotes no token; should it ever, that is cut as every report is.
            words = " ".join(ran.stderr.text.replace(os.environ[TOKEN], f"[{TOKEN}]").split())[:400]
            remedy = (
                _remedy_of(ran.stderr.text) or "try again when Doppler answers; nothing was read from an earlier answer"
            )
            raise Refused(f"{self} gave no secrets: {words}; {remedy}")
        try:
            found = json.loads(ran.stdout.text)
        except ValueError:
            raise Refused(f"{self}: its answer is no JSON; look at Doppler's status, then try again") from None
        return {name: value for name, value in found.items() if isinstance(value, str)}

    def _run(self, folder: Path) -> Ran:
        words = [
            *("doppler", "secrets", "download", "--no-file", "--format=json", "--no-fallback"),
            *("--no-check-version", "--silent", f"--config-dir={folder}", f"--timeout={_ONE_TRY_S}s"),
            *(f"--project={self.project}", f"--config={self.config}"),
        ]
        variables = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        variables["PATH"] = search_path(os.environ)
        try:
            program = find_program(words, folder=folder, path=variables["PATH"], setting="secrets_from.doppler")
            return run_bounded(program, env=variables, cwd=folder, timeout_s=_ALL_TRIES_S)
        except Failed as missing:
            raise Refused(str(missing)) from None
        except subprocess.TimeoutExpired:
            raise Refused(f"{self} did not answer within {_ALL_TRIES_S:g} s; try again when it does") from None


def _remedy_of(said: str) -> str | None:
    """What mends a refusal that lasts, by the program's words; None for one that may pass by itself."""
    words = said.lower()
    if "invalid" in words and "token" in words:
        return f"{TOKEN} was revoked, has expired or is another's: make a service token of this config, and set it"
    if "not found" in words or "access" in words or "forbidden" in words:
        return f"the token in {TOKEN} is not one of this project and config: check both in deploy.yaml, or make another"
    return None
