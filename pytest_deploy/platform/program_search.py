"""Where the programs of a service are found: beside the interpreter of the deployment first, then on PATH.

So it is in an activated environment, and so it is here where nobody activated it: `service.command`, `service.checks` and
`service.account` name programs alike.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_deploy.errors import Failed


def search_path(environment: Mapping[str, str]) -> str:
    """PATH of these variables with the folder of the running interpreter before it."""
    path = environment.get("PATH", os.defpath)
    return os.pathsep.join(part for part in (str(_beside()), path) if part)


def find_program(words: Sequence[str], *, folder: Path, path: str, setting: str) -> list[str]:
    """The command with its program as a path: what can be run as it stands in `folder`.

    `python` is the running interpreter; a name with a `/` is looked for from `folder` on. `setting` is the key of deploy.yaml
    that names the command. Raises Failed where there is none: which program, where was looked, what to do.
    """
    name, *arguments = words
    if name == "python":
        return [sys.executable, *arguments]
    places = [folder / name] if "/" in name else [folder / part / name for part in path.split(os.pathsep) if part]
    for place in places:
        if _is_file(place) and os.access(place, os.X_OK):
            return [str(place), *arguments]
    raise Failed(f"{setting}: {_not_found(name, places)}")


def _not_found(name: str, places: Sequence[Path]) -> str:
    for place in places:
        if _is_file(place):
            return f"{place} is no program: it may not be executed; `chmod +x` it, and build again if it is part of the artefact"
    if "/" in name:
        return (
            f"there is no {places[0]}; a name with a / is looked for in the service's own folder: "
            "check the path, and that the artefact holds it"
        )
    looked = list(dict.fromkeys(str(place.parent) for place in places))
    beside = str(_beside())
    shown = [f"{one} (beside the interpreter)" if one == beside else one for one in looked]
    return (
        f"the program {name} was not found; looked in {', '.join(shown)}. "
        f"Install it into the environment that runs the deployment (into {beside}), or give its whole path"
    )


def _is_file(place: Path) -> bool:
    """Whether it is a file that this user can come to: PATH may name folders of others."""
    try:
        return place.is_file()
    except PermissionError:
        return False


def _beside() -> Path:
    return Path(sys.executable).parent
