"""A stranger's machine: a user without rights, the wheel in an environment of its own, a repository at a path of their language.

Nothing of this checkout is there: the package is the wheel's, and it is started by its console scripts alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pytest_deploy.platform.embedded.places import ROOT_VARIABLE
from tests.child_process import Ran
from tests.conftest import skip_or_fail_missing
from tests.memory import short_parent
from tests.project_checkout import REPOSITORY
from tests.unprivileged import NOBODY

LANGUAGE = "Größe und Maß"
TIMEOUT_S = 240.0
_PERSON = {"NAME": "A Stranger", "EMAIL": "stranger@elsewhere.example"}


@dataclass(frozen=True)
class Machine:
    """Where somebody else works."""

    home: Path
    memory: Path

    @property
    def bin(self) -> Path:
        """The console scripts of their environment."""
        return self.home / LANGUAGE / "venv" / "bin"

    @classmethod
    @contextmanager
    def open(cls, wheel: Path, *packages: str, python: Path | None = None) -> Iterator[Machine]:
        """One with the wheel and these packages installed; gone afterwards, with what still runs there.

        `python` is another Python than that of the tests: with it all that the wheel needs is taken from the index.
        """
        home = Path(tempfile.mkdtemp(prefix="pd-", dir="/var/tmp"))
        memory = Path(tempfile.mkdtemp(prefix="pd-", dir=short_parent()))
        machine = cls(home, memory)
        try:
            (home / LANGUAGE).mkdir()
            for folder in (home, home / LANGUAGE, memory):
                _give_away(folder)
            if python is None:
                machine._install(wheel, packages)
            else:
                machine._install_from_index(python, wheel, packages)
            yield machine
        finally:
            for process in machine._processes():
                process.kill()
            shutil.rmtree(memory, ignore_errors=True)
            shutil.rmtree(home, ignore_errors=True)

    def repository(self, name: str, files: Mapping[str, str]) -> Repository:
        """A git repository with these files, committed."""
        repository = Repository(self, self.home / LANGUAGE / name)
        repository.path.mkdir()
        _give_away(repository.path)
        for file, text in files.items():
            repository.write(file, text)
        repository.run("git", "init", "--quiet", "--initial-branch=main")
        repository.commit("What they have")
        return repository

    def _install_from_index(self, python: Path, wheel: Path, packages: tuple[str, ...]) -> None:
        """As the documentation has it, by pip alone."""
        if not python.is_relative_to("/usr"):  # a person's own, which may lie below a folder that is closed to others
            own = self.home / "python"
            ignored = shutil.ignore_patterns("test", "__pycache__")
            shutil.copytree(python.parent.parent, own, symlinks=True, ignore=ignored)
            _look_beside(own / "bin" / python.name, python.parent.parent / "lib")
            python = own / "bin" / python.name
        subprocess.run([str(python), "-m", "venv", str(self.bin.parent)], check=True, timeout=120)
        words = [str(self.bin / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*words, f"{wheel}[local]", *packages], check=True, timeout=600)
        subprocess.run([*words, "--no-deps", "yandex-pgmigrate"], check=True, timeout=300)

    def _install(self, wheel: Path, packages: tuple[str, ...]) -> None:
        venv = self.bin.parent
        subprocess.run([_interpreter(), "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
        # Before the .pth: what the tests' environment has must not count as installed here.
        words = [
            sys.executable,
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "--python",
            str(venv / "bin/python"),
        ]
        subprocess.run([*words, "install", "--no-deps", str(wheel)], check=True, timeout=120)
        if packages:
            subprocess.run([*words, "install", *packages], check=True, timeout=300)
        # The wheel's dependencies are those of the tests' environment: the same set of hashes.
        tested = Path(sysconfig.get_path("purelib"))
        purelib = venv / tested.relative_to(sys.prefix)
        reached = subprocess.run(["test", "-r", str(tested / "pytest" / "__init__.py")], check=False, **_as_nobody())
        if reached.returncode == 0:
            (purelib / "dependencies.pth").write_text(f"{tested}\n")
        else:  # this checkout lies below a folder that is closed to others
            ours = shutil.ignore_patterns("pytest_deploy*", "__editable__*", "__pycache__")
            shutil.copytree(tested, purelib, ignore=ours, dirs_exist_ok=True)
        for script in ("pytest", "squawk", "dbmate"):
            self._install_script(Path(sys.prefix) / "bin" / script)

    def _install_script(self, source: Path) -> None:
        """A program of a dependency, as pip would write it: a path with blanks cannot stand behind `#!`."""
        program, python = self.bin / source.name, self.bin / "python"
        if not source.exists() or program.exists():
            return
        if source.read_bytes()[:2] != b"#!":
            shutil.copy(source, program)
            return
        body = source.read_text(encoding="utf-8").partition("\n")[2]
        program.write_text(f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n{body}", encoding="utf-8")
        program.chmod(0o755)

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cwd", "cmdline"]):
            words = " ".join(process.info["cmdline"] or [])
            inside = Path(process.info["cwd"] or "/").is_relative_to(self.home)
            if inside or str(self.memory) in words or str(self.home) in words:
                found.append(process)
        return found

    @property
    def environ(self) -> dict[str, str]:
        """What a login of theirs has; the environment is not activated."""
        who = {f"GIT_{role}_{what}": v for role in ("AUTHOR", "COMMITTER") for what, v in _PERSON.items()}
        return {
            "HOME": str(self.home),
            "USER": "stranger",
            "LOGNAME": "stranger",
            "LANG": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            ROOT_VARIABLE: str(self.memory),
            **who,
        }


@dataclass(frozen=True)
class Repository:
    """Somebody else's repository."""

    machine: Machine
    path: Path

    def write(self, name: str, text: str) -> None:
        """Write a file, as its owner."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        while path != self.path:
            _give_away(path)
            path = path.parent

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a text that stands in a file."""
        text = (self.path / name).read_text(encoding="utf-8")
        assert old in text, (name, old, text)
        self.write(name, text.replace(old, new))

    def run(self, *words: str, timeout: float = TIMEOUT_S) -> Ran:
        """Any program, in the repository, as its owner. Of the environment's own scripts the name is enough."""
        script = self.machine.bin / words[0]
        began = time.monotonic()
        ran = subprocess.run(
            [str(script) if script.exists() else words[0], *words[1:]],
            cwd=self.path, env=self.machine.environ, capture_output=True, text=True, check=False, timeout=timeout,
            **_as_nobody(),
        )  # fmt: skip
        return Ran(words, ran.returncode, ran.stdout, ran.stderr, seconds=time.monotonic() - began)

    def does(self, *words: str) -> str:
        """The same; fails where it does not end with 0. What it printed."""
        ran = self.run(*words)
        assert ran.code == 0, ran.said
        return ran.stdout + ran.stderr

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.does("git", "add", "--all")
        self.does("git", "commit", "--quiet", "-m", message)

    def assert_handed_out(self, run: str, store: str) -> None:
        """What is handed out of a run is there, and its record verifies, by the package and by stock tools."""
        handed_out = self.machine.home / f"handed out {run}"
        self.does("pytest-deploy", "export", run, str(handed_out))
        assert (handed_out / "report.html").is_file(), sorted(handed_out.rglob("*"))
        assert "VERIFIED" in self.does("pytest-deploy", "verify", store)
        packages = next(self.machine.bin.parent.glob("lib/python*/site-packages"))
        self.does("bash", str(packages / "pytest_deploy/verify/verify.sh"), store)

    def events(self, store: str = "reports/local") -> list[dict[str, Any]]:
        """The events of a record, oldest first."""
        files = sorted((self.path / store / "log").glob("*.event"))
        return [json.loads(file.read_bytes().partition(b"\n")[0]) for file in files]

    def outcomes(self, store: str = "reports/local") -> dict[str, str]:
        """Of the last run: how each step ended, by node id."""
        events = self.events(store)
        last = [event["run"] for event in events if event["type"] == "run.opened"][-1]
        return {
            event["data"]["nodeid"]: event["data"].get("outcome", "not-run")
            for event in events
            if event["run"] == last and event["type"] in {"step.finished", "step.not-run"}
        }


def built_wheel(shared: Path) -> Path:
    """The wheel of this checkout, made by whoever comes first."""
    made = shared / "wheel"
    with (shared / "wheel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = Path(tempfile.mkdtemp(prefix="wheel-", dir=shared))
            source = part / "source"
            shutil.copytree(
                REPOSITORY / "pytest_deploy", source / "pytest_deploy", ignore=shutil.ignore_patterns("__pycache__")
            )
            shutil.copytree(REPOSITORY / "docs", source / "docs", ignore=shutil.ignore_patterns("__pycache__"))
            for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "GLOSSARY.md"):
                shutil.copy(REPOSITORY / name, source / name)
            words = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps"]
            subprocess.run(
                [*words, "--no-build-isolation", "-w", str(part / "made"), str(source)], check=True, timeout=120
            )
            (part / "made").rename(made)
    (wheel,) = made.glob("*.whl")
    return wheel


def _interpreter() -> str:
    """A Python of this version that a user without rights can start; skips where there is none."""
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name in (os.path.realpath(sys.executable), f"/usr/bin/python{mine}"):
        asked = [name, "-c", "import sys; print(sys.version_info[:2])"]
        try:
            ran = subprocess.run(
                asked, capture_output=True, text=True, check=False, cwd="/", timeout=30, **_as_nobody()
            )
        except OSError:
            continue
        if ran.stdout.strip() == str(sys.version_info[:2]):
            return name
    skip_or_fail_missing(f"a Python {mine} that a user without rights can start", f"apt-get install python{mine}-venv")
    raise AssertionError


def newest_python() -> Path | None:
    """The newest Python of this machine that is newer than the tests' own, the system's or pyenv's; None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found: dict[tuple[int, ...], Path] = {}
    for name in (*Path("/usr/bin").glob("python3.*"), *pyenv.glob("versions/3.*/bin/python3.*")):
        version = name.name.removeprefix("python").split(".")
        if all(part.isdecimal() for part in version):
            found.setdefault(tuple(map(int, version)), name)
    newest = max(found, default=(0,))
    return found[newest] if newest > sys.version_info[:2] else None


def _look_beside(program: Path, libraries: Path) -> None:
    """A copied program finds its libraries beside itself, not in the folder that it was made for."""
    made_for, beside = os.fsencode(libraries), b"$ORIGIN/../lib"
    program.write_bytes(program.read_bytes().replace(made_for, beside.ljust(len(made_for), b"\0")))


def last_run(printed: str) -> str:
    """The run that a deployment's output names."""
    found = re.findall(r"^run (\S+)$", printed, re.MULTILINE)
    assert found, printed
    return str(found[-1])


def _as_nobody() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _give_away(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
