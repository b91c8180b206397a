"""Whether a package is installed for this interpreter, told without importing it."""

from __future__ import annotations

import importlib.util


def is_installed(module: str) -> bool:
    """Whether a module can be found: only the packages that it lies in are imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
