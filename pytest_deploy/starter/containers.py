"""The command of a Procfile or a Dockerfile, as deploy.yaml takes it: words, or a line for a shell where it needs one."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_deploy.starter.source_files import text
from pytest_deploy.starter.told import Told

Command = tuple[str, ...]

_WEB: Final = re.compile(r"^web\s*:\s*(\S.*?)\s*$", re.MULTILINE)
_FOR_A_SHELL: Final = re.compile(r"[$&|;<>()`*?~{}\n]")
_SEVERAL: Final = re.compile(r"[&|;\n]")
_WORD: Final = re.compile(r"^(FROM|CMD|ENTRYPOINT|EXPOSE)\s+(.+)$", re.IGNORECASE)


def of_procfile(folder: Path) -> Told[Command] | None:
    """What `web:` of a Procfile starts."""
    found = _WEB.search(text(folder / "Procfile"))
    return Told(of_line(found[1]), "Procfile") if found else None


def of_dockerfile(folder: Path) -> Told[Command] | None:
    """What the Dockerfile's last stage starts, listening at PORT where it names the port that it exposes.

    None where it starts nothing, or a program of the image: an artefact has none of its paths.
    """
    said = re.sub(r"\\\s*\n", " ", re.sub(r"^\s*#.*\n?", "", text(folder / "Dockerfile"), flags=re.MULTILINE))
    stage: dict[str, str] = {}
    for line in said.splitlines():
        if found := _WORD.match(line.strip()):
            word = found[1].upper()
            stage = {} if word == "FROM" else {**stage, word: found[2].strip()}
    begins, continues = _exec_form(stage.get("ENTRYPOINT", "")), _exec_form(stage.get("CMD", ""))
    exposed = re.match(r"\d+", stage.get("EXPOSE", ""))
    port = exposed[0] if exposed else ""
    if "ENTRYPOINT" in stage and begins is None:
        command = of_line(_with_port(stage["ENTRYPOINT"], port))
    elif begins or continues:
        command = _listening([*(begins or []), *(continues or [])], port)
    elif "CMD" in stage:
        command = of_line(_with_port(stage["CMD"], port))
    else:
        return None
    return None if command[0].startswith("/") else Told(command, "Dockerfile")


def of_line(line: str) -> Command:
    """A line as a shell takes it: words where they mean what they say, else `sh -c`, which steps aside for the program."""
    words: list[str] = []
    if not _FOR_A_SHELL.search(line):
        try:
            words = shlex.split(line)
        except ValueError:
            words = []
    if words and "=" not in words[0]:
        return tuple(words)
    alone = not _SEVERAL.search(line) and not line.startswith("exec ") and not re.match(r"\w+=", line)
    return ("sh", "-c", f"exec {line}" if alone else line)


def _exec_form(said: str) -> list[str] | None:
    """The words of `["gunicorn", "app"]`; None where it is a line for a shell, or nothing."""
    try:
        words = json.loads(said)
    except ValueError:
        return None
    return (
        words if isinstance(words, list) and words and all(isinstance(word, str) and word for word in words) else None
    )


def _listening(words: Sequence[str], port: str) -> Command:
    changed = [_with_port(word, port) for word in words]
    if list(words) == changed:
        return tuple(words)
    return ("sh", "-c", "exec " + " ".join(_quoted(word) if "$PORT" in word else shlex.quote(word) for word in changed))


def _with_port(said: str, port: str) -> str:
    """The same with the exposed port as the variable that the service is given."""
    return re.sub(rf"(?<![\w.]){port}(?![\w.])", "$PORT", said) if port else said


def _quoted(word: str) -> str:
    return '"' + re.sub(r'(["`\\])|\$(?!PORT)', r"\\\g<0>", word) + '"'
