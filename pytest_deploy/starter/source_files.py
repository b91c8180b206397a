"""The files of a service's folder that people write: read, never run."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_NOT_WRITTEN_BY_PEOPLE: Final = frozenset(
    {
        "node_modules",
        "venv",
        "env",
        "__pycache__",
        "dist",
        "build",
        "target",
        "vendor",
        "site-packages",
        "reports",
        "suites",
    }
)
_MOST_FILES: Final = 5000
_MOST_BYTES: Final = 200_000
"""What is longer is generated, or data."""


def below(folder: Path, *suffixes: str) -> Iterator[Path]:
    """The files with one of these suffixes, in a fixed order; nothing hidden, nothing that a tool has put there."""
    seen = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NOT_WRITTEN_BY_PEOPLE and not name.startswith("."))
        for name in sorted(names):
            seen += 1
            if seen > _MOST_FILES:
                return
            if name.endswith(suffixes):
                yield Path(parent) / name


def text(path: Path) -> str:
    """The text of a file; empty where there is none, or it is none that people write."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return ""
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def toml(path: Path) -> Mapping[str, Any]:
    """A TOML file; empty where there is none, or it cannot be read: whose file it is hears of that elsewhere."""
    try:
        return tomllib.loads(text(path))
    except tomllib.TOMLDecodeError:
        return {}


def json_object(path: Path) -> Mapping[str, Any]:
    """The same of a JSON file."""
    try:
        found = json.loads(text(path) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def section(document: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """A mapping inside of a document; empty where there is none."""
    for key in keys:
        found = document.get(key)
        if not isinstance(found, Mapping):
            return {}
        document = found
    return document
