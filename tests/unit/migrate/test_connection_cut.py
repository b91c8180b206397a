"""A proxy cuts every connection in the middle of a migration: it is told what was committed, and the next run goes on from there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_deploy.errors import MigrationFailed, PlatformUnavailable
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.rollback import roll_back
from tests.unit.migrate.sample_migrations import ACTOR, COLUMN, VISIT, rows, sample, versions

SLEEP = ("select pg_sleep(0.5);\n", "select pg_sleep(0.5);\n")
BYTES = 65_536


class Proxy:
    """Passes connections on to a server's socket, and cuts them all at once when it is told to; later ones pass."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._cut_later = 0
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut(self, *, later: int = 0) -> None:
        """Those that are there now, and so many of those that come."""
        self._cut_later = later
        for one in tuple(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._cut_later:
                    self._cut_later -= 1
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                self._sockets += [client, server]
                for ways in ((client, server), (server, client)):
                    self._threads.append(threading.Thread(target=self._pass_on, args=ways, daemon=True))
                    self._threads[-1].start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(BYTES):
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(conninfo: str) -> Iterator[tuple[str, Proxy]]:
    given = conninfo_to_dict(conninfo)
    proxy = Proxy(f"{given['host']}/.s.PGSQL.{given['port']}")
    try:
        yield make_conninfo(conninfo, host="127.0.0.1", port=proxy.port, sslmode="disable"), proxy
    finally:
        proxy.close()


def test_a_migration_that_is_cut_off_is_told_and_goes_on_later(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, SLEEP, COLUMN)
    with proxied(each_database) as (through, proxy):
        threading.Timer(0.3, proxy.cut).start()
        with pytest.raises((MigrationFailed, PlatformUnavailable)) as told:
            apply(through, migrations, actor=ACTOR)
        assert "nothing was committed" in str(told.value) or "server closed the connection" in str(told.value)
        assert len(apply(through, migrations, actor=ACTOR)) == len(migrations)
    assert versions(each_database) == ["0001", "0002", "0003"]


def test_one_that_is_cut_off_again_when_it_asks_what_was_committed_asks_once_more(
    database: str, tmp_path: Path
) -> None:
    migrations = sample(tmp_path, VISIT, ("select pg_sleep(2);\n", "select 1;\n"))
    with proxied(database) as (through, proxy):
        threading.Timer(0.8, proxy.cut, kwargs={"later": 1}).start()
        with pytest.raises((MigrationFailed, PlatformUnavailable)):
            apply(through, migrations, actor=ACTOR)
    assert versions(database) == []


def test_a_way_back_that_is_cut_off_is_told_and_goes_on_later(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, SLEEP, COLUMN)
    apply(each_database, migrations, actor=ACTOR)
    with proxied(each_database) as (through, proxy):
        threading.Timer(0.3, proxy.cut).start()
        with pytest.raises((MigrationFailed, PlatformUnavailable)):
            roll_back(through, migrations, to=[], actor=ACTOR, save_into=tmp_path)
        assert versions(each_database) == ["0001", "0002", "0003"]
        roll_back(through, migrations, to=[], actor=ACTOR, save_into=tmp_path)
    assert versions(each_database) == []
    assert rows(each_database, "select count(*) from deploy.migration_event where direction = 'down'") == [(3,)]
