"""What the service is called: as its own files say, made fit for deploy.yaml."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Final

from pytest_deploy.starter.source_files import json_object, section, text, toml
from pytest_deploy.starter.told import Told

_LONGEST: Final = 30
"""With a rehearsed environment's name it makes the name of a database's role, which has 63 bytes."""
_MODULE: Final = re.compile(r"^module\s+(\S+)", re.MULTILINE)


def read(folder: Path) -> Told[str]:
    """The name by pyproject.toml, package.json, go.mod or, where none has one, the folder's own."""
    module = _MODULE.search(text(folder / "go.mod"))
    given = {
        "pyproject.toml": section(toml(folder / "pyproject.toml"), "project").get("name"),
        "package.json": json_object(folder / "package.json").get("name"),
        "go.mod": re.sub(r"/v\d+$", "", module[1]).rpartition("/")[2] if module else None,
    }
    for file, name in given.items():
        if isinstance(name, str) and (fit := made_fit(name.rpartition("/")[2])):
            return Told(fit, file)
    return Told(made_fit(folder.resolve().name) or "service", "the folder's name")


def made_fit(name: str) -> str:
    """Lower-case letters, digits and hyphens, a letter first; empty where nothing is left.

    Example:
        >>> made_fit("Größe_API 2")
        'grosse-api-2'
    """
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return re.sub(r"^[^a-z]+", "", words)[:_LONGEST].rstrip("-")
