"""An interpreter of its own with pytest plug-ins beside the project's: found before the project's own, and not by PYTHONPATH."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.child_process import TIMEOUT_S, Ran
from tests.project_checkout import Checkout


class PluginEnvironment:
    """A virtual environment whose own packages come before those of the environment that runs the tests."""

    def __init__(self, python: Path, packages: Path, env: Mapping[str, str]) -> None:
        self._python = python
        self.packages = packages
        self._env = env

    @classmethod
    def make(cls, folder: Path, env: Mapping[str, str]) -> Self:
        """Make one in `folder`. `env` is given to each child."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
        packages = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
        (packages / "tested.pth").write_text(sysconfig.get_path("purelib") + "\n")
        return cls(folder / "bin" / "python", packages, env)

    def install(self, distribution: str, version: str, *, entry: str, module: str, source: str) -> None:
        """Write a distribution of one module, whose entry point names it as a plug-in of pytest."""
        info = self.packages / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (self.packages / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[pytest11]\n{entry} = {module}\n")

    def run(self, checkout: Checkout, *words: str) -> Ran:
        """`pytest WORDS` in the checkout."""
        return self.python(checkout, "-m", "pytest", *words)

    def python(self, checkout: Checkout, *words: str, timeout: float = TIMEOUT_S) -> Ran:
        return checkout.begin(str(self._python), *words, env=self._env).wait(timeout)
