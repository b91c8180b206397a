"""The programs that judge: from the system's own folders, never whatever comes first on the judged machine's PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

SYSTEM_FOLDERS: Final = tuple(
    map(Path, ("/usr/bin", "/bin", "/usr/local/bin", "/opt/homebrew/bin", "/run/current-system/sw/bin"))
)
"""Where only who administers the machine puts programs, most trusted first."""


def system_program(name: str) -> str:
    """The path of git, ssh-keygen, openssl: the first that lies in SYSTEM_FOLDERS; only where none does, PATH's.

    Raises FileNotFoundError where there is none at all.
    """
    for folder in SYSTEM_FOLDERS:
        if os.access(folder / name, os.X_OK) and (folder / name).is_file():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(name)
    return found
