"""Programs that make other forms of a report, where the machine has them: Chromium for paper, Allure for its own page.

Neither is needed. What was not made is said with its reason; what was made asks nothing of the network when it is read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_SECONDS: Final = 180
_ANALYTICS: Final = re.compile(r"googletagmanager|google-analytics|\bgtag\b", re.IGNORECASE)
_SCRIPT: Final = re.compile(r"<script\b[^>]*>(?:(?!</script\b).)*</script\s*>", re.IGNORECASE | re.DOTALL)
_ALONE: Final = (
    """<meta http-equiv="Content-Security-Policy" content="default-src 'unsafe-inline' 'unsafe-eval' data: blob:">"""
)
_SHORT: Final = 4000
"""Characters of a script that does nothing but load or start the analytics; the page's own program is far longer."""


class NotMade(Exception):
    """Why a form could not be made; no fault of the record."""


def pdf(page: Path, into: Path) -> None:
    """Print a page to PDF with Chromium, without a network. Raises NotMade."""
    browser = next((name for name in BROWSERS if shutil.which(name)), None)
    if browser is None:
        raise NotMade(f"none of {', '.join(BROWSERS)} is installed (Debian: chromium)")
    with tempfile.TemporaryDirectory() as profile:
        _run(
            [
                browser,
                *quiet(Path(profile)),
                f"--print-to-pdf={into}",
                "--no-pdf-header-footer",
                page.resolve().as_uri(),
            ]
        )
    if not into.is_file() or not into.read_bytes().startswith(b"%PDF"):
        raise NotMade(f"{browser} wrote no PDF")


def quiet(profile: Path) -> list[str]:
    """Options that keep Chromium from anything but its page. `profile`: a new folder."""
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox refuses to start for root
    return [
        *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *(f"--user-data-dir={profile}", *alone),
    ]


def allure(results: Path, into: Path) -> None:
    """Make Allure's page of a run, one file, without the analytics its generator puts in. Raises NotMade."""
    if shutil.which("allure") is None:
        raise NotMade("the command allure is not installed (npm: allure)")
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "made"
        second = _run(["allure", "--version"]).strip().startswith("2.")
        words = ["generate", "--single-file", "--clean", "-o"] if second else ["awesome", "--single-file", "-o"]
        _run(["allure", *words, str(made), str(results)])
        page = made / "index.html"
        if not page.is_file():
            raise NotMade("allure wrote no index.html")
        text = without_analytics(page.read_text(encoding="utf-8"))
    if found := _ANALYTICS.search(text):
        raise NotMade(f"allure's page still holds {found[0]!r} after its analytics were cut out; evidence calls nobody")
    into.write_text(text, encoding="utf-8")


def without_analytics(page: str) -> str:
    """The page without the scripts that load or start web analytics, and under a policy that lets it ask nobody anything.

    Whatever else names the analytics is left, and found.
    """

    def kept(script: re.Match[str]) -> str:
        return "" if len(script[0]) < _SHORT and _ANALYTICS.search(script[0]) else script[0]

    return re.sub(
        r"<head\b[^>]*>", lambda head: head[0] + _ALONE, _SCRIPT.sub(kept, page), count=1, flags=re.IGNORECASE
    )


def _run(words: Sequence[str]) -> str:
    try:
        ran = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMade(f"{words[0]}: {type(error).__name__}: {error}") from error
    if ran.returncode:
        said = (ran.stderr or ran.stdout).strip().splitlines()
        raise NotMade(f"{words[0]} ended with {ran.returncode}: {said[-1] if said else 'it said nothing'}")
    return ran.stdout
