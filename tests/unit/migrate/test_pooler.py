"""pgbouncer in front of the server: a session for each transaction is refused, one for each client serves."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.session import connect
from pytest_deploy.migrate.trial import run_trial
from pytest_deploy.platform.embedded.revision import free_port
from tests.conftest import skip_or_fail_missing
from tests.memory import short_parent
from tests.unit.migrate.sample_migrations import ACTOR, FIVE, do, sample, versions

IGNORED = "ignore_startup_parameters = options\n"


@contextmanager
def pgbouncer(conninfo: str, mode: str, *settings: str) -> Iterator[str]:
    """The connection string of the same database through a pgbouncer of the test's own."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    if program is None:
        skip_or_fail_missing("pgbouncer", "apt-get install pgbouncer")
    given, port = conninfo_to_dict(conninfo), free_port()
    with tempfile.TemporaryDirectory(prefix="pgbouncer-", dir=short_parent()) as place:
        ini = Path(place, "pgbouncer.ini")
        ini.write_text(
            # auth_type any: whoever comes is the user beside the address.
            f"[databases]\n{given['dbname']} = host={given['host']} port={given['port']} user={given['user']}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = {mode}\n{''.join(settings)}",
            encoding="utf-8",
        )
        Path(place).chmod(0o755)
        ini.chmod(0o644)
        who: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to be root
        started = subprocess.Popen([program, "-q", str(ini)], **who)
        through = make_conninfo(conninfo, host="127.0.0.1", port=port)
        try:
            _wait(port)
            yield through
        finally:
            started.terminate()
            started.wait(10)


def _wait(port: int) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def test_a_session_for_each_transaction_is_refused(database15: str, tmp_path: Path) -> None:
    with pgbouncer(database15, "transaction", IGNORED) as through:
        for attempted in (run_trial, apply):
            with pytest.raises(PlatformUnavailable, match="hands each transaction another session"):
                attempted(through, sample(tmp_path / "m", *FIVE), actor=ACTOR)


@pytest.mark.parametrize("settings", [(), (IGNORED,)], ids=["it refuses options", "it drops options"])
def test_one_that_passes_no_time_limits_on_is_refused_with_what_would_do(
    database15: str, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    with (
        pgbouncer(database15, "session", *settings) as through,
        pytest.raises(PlatformUnavailable, match=r"`ALTER ROLE \w+ IN DATABASE \w+ SET lock_timeout = '5s'; ALTER"),
        connect(through),
    ):
        pass


def test_a_session_for_each_client_serves(database15: str, tmp_path: Path) -> None:
    given = conninfo_to_dict(database15)
    for setting in ("lock_timeout = '5s'", "client_connection_check_interval = '500ms'"):
        do(database15, f"alter role {given['user']} in database {given['dbname']} set {setting}")
    migrations = sample(tmp_path / "m", *FIVE)
    with pgbouncer(database15, "session", IGNORED) as through:
        trial = run_trial(through, migrations, actor=ACTOR)
        apply(through, migrations, actor=ACTOR, expected=trial.schemas())
        assert len(versions(database15)) == len(FIVE)
        roll_back(through, migrations, to=[], actor=ACTOR, save_into=tmp_path)
    assert versions(database15) == []
