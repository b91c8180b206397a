"""A stack that is made once a run, and a copy of it for each test."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pulumi_project import Project, copied_project, kept_project, new_project


@pytest.fixture(scope="session")
def made(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The whole of infrastructure/, made by the engine, once for all workers; nobody changes it."""
    folder = shared_folder / "pulumi-stack"
    with (shared_folder / "pulumi-stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with new_project(tmp_path_factory.mktemp("new")) as project:
                project.apply()
                project.keep(folder)
    with kept_project(folder, tmp_path_factory.mktemp("kept")) as project:
        yield project


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Iterator[Project]:
    """The same stack for one test."""
    with copied_project(made, tmp_path) as copy:
        yield copy
