"""The embedded server's life, and the tests' own servers."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.embedded.postgres import EmbeddedServer, embedded_programs, lives, postmaster, server_user
from tests.memory import short_parent
from tests.postgres_server import PostgresServer, shared_server
from tests.unprivileged import as_nobody


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path in memory that PostgreSQL's own user can come to."""
    made = Path(tempfile.mkdtemp(dir=short_parent(), prefix="pytest-deploy-test-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


def test_each_test_has_an_empty_database(each_database: str) -> None:
    """Nothing of any other test is in it."""
    with psycopg.connect(each_database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_the_server_takes_no_network_connections(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.conninfo()) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_data_survive_a_stop_and_a_kill(folder: Path) -> None:
    server = EmbeddedServer(folder / "pg")
    server.start()
    with psycopg.connect(server.conninfo("postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    server.stop()
    server.stop()
    assert postmaster(server.data) is None
    server.start()
    process = postmaster(server.data)
    assert process is not None
    process.kill()
    server.stop()
    again = EmbeddedServer(folder / "pg")
    again.start()
    try:
        with psycopg.connect(again.conninfo("postgres")) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        assert stat.S_IMODE((folder / "pg").stat().st_mode) == 0o700
    finally:
        again.stop()


def test_a_server_that_was_left_running_is_stopped_by_the_next(folder: Path) -> None:
    first, second = EmbeddedServer(folder / "pg"), EmbeddedServer(folder / "pg")
    first.start()
    left = postmaster(first.data)
    assert left is not None
    second.start()
    try:
        assert not lives(left)
    finally:
        second.stop()
        first.stop()


def test_a_stale_pid_file_names_nobody(tmp_path: Path) -> None:
    """The number may belong to another process by now: here, to this one."""
    assert postmaster(tmp_path) is None
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n")
    assert postmaster(tmp_path) is None
    (tmp_path / "postmaster.pid").write_text("")
    assert postmaster(tmp_path) is None


def test_what_a_killed_server_left_stops_no_new_one_though_its_number_is_another_process_s(folder: Path) -> None:
    """Or a zombie's: where nobody waits for the dead, PostgreSQL takes it for a server that lives."""
    server = EmbeddedServer(folder / "pg")
    server.start()
    left = {name: (folder / "pg" / name).read_text() for name in ("data/postmaster.pid", ".s.PGSQL.5432.lock")}
    server.stop()
    with subprocess.Popen(
        ["sleep", "60"], user=(folder / "pg").stat().st_uid
    ) as other:  # of others it believes nothing
        for name, text in left.items():
            _, _, rest = text.partition("\n")
            (folder / "pg" / name).write_text(f"{other.pid}\n{rest}")

        try:
            server.start()
        finally:
            other.kill()

    with psycopg.connect(server.conninfo("postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()


def test_a_setting_the_server_does_not_know_is_shown(folder: Path) -> None:
    with pytest.raises(PlatformUnavailable, match='unrecognized configuration parameter "no_such"'):
        EmbeddedServer(folder / "pg", settings={"no_such": "1"}).start()


def test_a_failing_initdb_is_shown_and_tried_anew(folder: Path) -> None:
    programs = folder / "bin"
    programs.mkdir(mode=0o755)
    for name, text in (("postgres", "echo postgres PostgreSQL 18.1"), ("initdb", "echo no room; exit 7")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    with pytest.raises(PlatformUnavailable, match=r"(?s)initdb .* ended with 7 .*no room"):
        EmbeddedServer(folder / "pg", programs=programs).start()
    server = EmbeddedServer(folder / "pg")
    server.start()
    server.stop()


def test_a_server_that_is_never_ready_is_stopped(folder: Path) -> None:
    server = EmbeddedServer(folder / "pg")
    server.start()
    server.stop()
    hurried = EmbeddedServer(folder / "pg", deadline_s=0.0)
    said = ""
    for _ in range(20):  # a quick machine may have it ready before the first look
        try:
            hurried.start()
        except PlatformUnavailable as error:
            said = str(error)
            break
        hurried.stop()
    assert "not ready within 0.0 s" in said
    assert postmaster(server.data) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root does the server run as another user")
def test_programs_in_a_private_folder_are_copied_not_opened(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    wheel = embedded_programs().parent.parent
    shutil.copytree(wheel / "pginstall", private / "lib" / wheel.name / "pginstall", symlinks=True)
    shutil.copytree(f"{wheel}.libs", private / "lib" / f"{wheel.name}.libs", symlinks=True)
    server = EmbeddedServer(folder / "pg", programs=private / "lib" / wheel.name / "pginstall" / "bin")
    server.start()
    server.stop()
    server.start()
    server.stop()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert (folder / "pg" / "programs").is_dir()


def test_the_tests_server_is_gone_with_its_last_user(tmp_path: Path) -> None:
    """One user is killed, the other leaves."""
    script = (
        "import sys, time; from pathlib import Path; from tests.postgres_server import shared_server\n"
        "with shared_server(Path(sys.argv[1])) as server: print(server.host, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        host = Path(other.stdout.readline().strip())
        with shared_server(tmp_path) as server:
            assert server.host == str(host)
            other.send_signal(signal.SIGKILL)
            time.sleep(0.2)
            psycopg.connect(server.conninfo()).close()
    until = time.monotonic() + 5
    while host.parent.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not host.parent.exists()


def test_a_user_without_a_name_is_told_before_initdb_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may be started as any number."""
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)

    with pytest.raises(PlatformUnavailable, match="user id 54321 has none: add a line for it to /etc/passwd"):
        server_user()


def test_root_that_may_become_nobody_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container without capabilities: here who asks only says that it is root."""
    with as_nobody(), monkeypatch.context() as as_root:
        as_root.setattr(os, "geteuid", lambda: 0)
        with pytest.raises(
            PlatformUnavailable, match=r"root may not run it as \w+ here \(Operation not permitted\): give"
        ):
            server_user()


def test_whoever_runs_the_tests_can_run_a_server() -> None:
    user = server_user()

    assert (user is None) == (os.geteuid() != 0)
