"""The path that answers whether the service is well, as its source names it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pytest_deploy.starter.source_files import below, text
from pytest_deploy.starter.start_command import site_folder
from pytest_deploy.starter.told import Told

_NAMES: Final = (
    r"(?:healthz?|health/live|health/ready|livez|live|readyz|ready|ping|up|_health|api/health|api/healthz|status)"
)
_PATH: Final = re.compile(rf"[\"'`\s](/{_NAMES}/?)[\"'`]")
_OF_DJANGO: Final = re.compile(rf"\bpath\(\s*[\"']({_NAMES}/?)[\"']")
_SOURCES: Final = (".py", ".js", ".mjs", ".cjs", ".ts", ".go", ".rb", ".java", ".kt", ".rs", ".php")


def read(folder: Path) -> Told[str]:
    """The path, from the first file that names one."""
    for path in below(folder, *_SOURCES):
        said = text(path)
        shown = path.relative_to(folder).as_posix()
        if found := _OF_DJANGO.search(said):
            return Told(f"/{found[1]}", shown)
        if found := _PATH.search(said):
            return Told(found[1], shown)
    site = site_folder(folder)
    if site is not None and not any(below(folder, *_SOURCES)):
        return Told("/", "index.html" if site == "." else f"{site}/index.html")
    return Told("/health", asks="the path that answers any 2xx when the service is well")
