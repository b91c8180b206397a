"""Ours against dbmate, pgmigrate and yoyo: interleaved in one run, on one server, each time on a fresh database.

    python tests/bench/bench_migrations.py [--sizes 100 1000] [--rounds 5]

Two kinds: trivial (one row each) and DDL (a table with a key, text and a timestamp, and an index). Medians, their spread,
and the ratio to dbmate. The tools run as the programs they are; ours runs in this process, and once as a process of its
own. dbmate takes one migration back a call: its way down is timed over at most 100 calls and scaled.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2]))

from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.backup import back_up
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.session import rows_of
from pytest_deploy.migrate.snapshot import read_catalog, snapshot
from pytest_deploy.migrate.trial import run_trial
from pytest_deploy.platform.embedded.postgres import EmbeddedServer, embedded_programs

BIN = Path(sys.executable).parent
CALLS = 100
WAYS = {
    "trivial": ("insert into bench values ({n});", "delete from bench where n = {n};"),
    "ddl": (
        (
            "create table t{n} (id bigint primary key, note text, at timestamptz not null default now());"
            " create index t{n}_at on t{n} (at);"
        ),
        "drop table t{n};",
    ),
}
Times = dict[str, list[float]]


class Bench:
    """One kind and number of migrations, in every tool's format."""

    def __init__(self, server: EmbeddedServer, host: str, folder: Path, kind: str, size: int) -> None:
        self.kind = kind
        self.server = server
        self.host = host
        self.size = size
        self.dbmate, self.pgmigrate, self.yoyo = folder / "dbmate", folder / "pgmigrate", folder / "yoyo"
        for place in (self.dbmate, self.pgmigrate / "migrations", self.yoyo):
            place.mkdir(parents=True)
        for number in range(1, size + 1):
            up, down = (way.format(n=number) for way in WAYS[kind])
            head = "-- deploy:compatible expand\n-- deploy:lossy a measurement\n"
            text = f"{head}-- migrate:up\n{up}\n-- migrate:down\n{down}\n"
            (self.dbmate / f"{number:04d}_step.sql").write_text(text, encoding="utf-8")
            (self.pgmigrate / "migrations" / f"V{number:04d}__step.sql").write_text(up, encoding="utf-8")
            (self.yoyo / f"{number:04d}.step.sql").write_text(up, encoding="utf-8")
            (self.yoyo / f"{number:04d}.step.rollback.sql").write_text(down, encoding="utf-8")

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        with psycopg.connect(self.server.conninfo("postgres"), autocommit=True) as admin:
            admin.execute(f"create database {name}".encode())
        conninfo = self.server.conninfo(name)
        if self.kind == "trivial":
            with psycopg.connect(conninfo, autocommit=True) as connection:
                connection.execute("create table bench (n int)")
        yield conninfo
        with psycopg.connect(self.server.conninfo("postgres"), autocommit=True) as admin:
            admin.execute(f"drop database {name} with (force)".encode())

    def run_dbmate(self, name: str, up: Times, down: Times) -> None:
        url = f"postgres://postgres@/{name}?socket={self.host}"
        command = [str(BIN / "dbmate"), "--url", url, "-d", str(self.dbmate), "--no-dump-schema"]
        with self.database(name):
            up["dbmate"].append(timed(lambda: process(*command, "up")))
            calls = min(CALLS, self.size)
            seconds = timed(lambda: repeat(calls, *command, "rollback"))
            down["dbmate"].append(seconds * self.size / calls)

    def run_pgmigrate(self, name: str, up: Times, _down: Times) -> None:
        command = [str(BIN / "pgmigrate"), "migrate", "-t", "latest", "-d", str(self.pgmigrate)]
        with self.database(name) as conninfo:
            up["pgmigrate"].append(timed(lambda: process(*command, "-c", conninfo)))

    def run_yoyo(self, name: str, up: Times, down: Times) -> None:
        url = f"postgresql+psycopg://postgres@/{name}?host={self.host}"
        arguments = ["--batch", "--no-config-file", "-d", url, str(self.yoyo)]
        with self.database(name):
            up["yoyo"].append(timed(lambda: process(str(BIN / "yoyo"), "apply", *arguments)))
            down["yoyo"].append(timed(lambda: process(str(BIN / "yoyo"), "rollback", *arguments)))

    def run_ours(self, name: str, up: Times, down: Times) -> None:
        with self.database(name) as conninfo:
            migrations = read_migrations(self.dbmate)
            up["ours, in process"].append(timed(lambda: apply(conninfo, migrations, actor="bench")))
            with tempfile.TemporaryDirectory() as saved:
                back = partial(roll_back, conninfo, migrations, to=[], actor="bench", save_into=Path(saved))
                down["ours, in process"].append(timed(back))

    def run_ours_alone(self, name: str, up: Times, _down: Times) -> None:
        code = (
            "import sys; from pathlib import Path; from pytest_deploy.migrate.apply import apply;"
            "from pytest_deploy.migrate.migration_folder import read_migrations;"
            "apply(sys.argv[1], read_migrations(Path(sys.argv[2])), actor='bench')"
        )
        with self.database(name) as conninfo:
            command = [sys.executable, "-c", code, conninfo, str(self.dbmate)]
            up["ours, new process"].append(timed(lambda: process(*command)))


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def process(*command: str) -> None:
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True)


def repeat(times: int, *command: str) -> None:
    for _ in range(times):
        process(*command)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def table(title: str, times: Times) -> None:
    say(f"\n{title}")
    base = statistics.median(times["dbmate"])
    for name, seconds in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        median = statistics.median(seconds)
        spread = f"{min(seconds):.3f} to {max(seconds):.3f}"
        say(f"  {name:<18} {median:8.3f} s   {median / base:6.2f} x dbmate   ({spread}, n={len(seconds)})")


def apart(bench: Bench, name: str) -> None:
    """What stands around the engine, each by itself."""
    programs = embedded_programs()
    with bench.database(name) as conninfo, tempfile.TemporaryDirectory() as folder:
        migrations = read_migrations(bench.dbmate)
        say(f"\naround the engine, {bench.size} ddl migrations")
        say(f"  read               {timed(lambda: read_migrations(bench.dbmate)):8.3f} s")
        say(f"  rehearsal of 10    {timed(lambda: run_trial(conninfo, migrations[:10], actor='bench')):8.3f} s")
        apply(conninfo, migrations, actor="bench")
        say(f"  nothing pending    {timed(lambda: apply(conninfo, migrations, actor='bench')):8.3f} s")
        with psycopg.connect(conninfo) as connection:
            say(f"  catalog query      {timed(lambda: read_catalog(rows_of(connection))):8.3f} s")
        say(f"  snapshot           {timed(lambda: snapshot(conninfo, programs)):8.3f} s")
        say(f"  backup             {timed(lambda: back_up(conninfo, Path(folder), programs)):8.3f} s")
        say(f"  backup, proven     {timed(lambda: back_up(conninfo, Path(folder), programs, prove=True)):8.3f} s")


def measure(server: EmbeddedServer, host: str, sizes: list[int], rounds: int) -> None:
    number = 0
    for kind in WAYS:
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                bench = Bench(server, host, Path(folder), kind, size)
                up: Times = defaultdict(list)
                down: Times = defaultdict(list)
                tools = (bench.run_dbmate, bench.run_pgmigrate, bench.run_yoyo, bench.run_ours, bench.run_ours_alone)
                for turn in range(rounds):
                    for tool in tools[turn % len(tools) :] + tools[: turn % len(tools)]:
                        number += 1
                        tool(f"bench_{number}", up, down)
                table(f"up, {size} {kind}", up)
                table(f"down, {size} {kind} (dbmate scaled from {min(CALLS, size)} calls)", down)
                if kind == "ddl" and size == min(sizes):
                    apart(bench, f"bench_apart_{number}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as folder:
        host = Path(folder)
        host.chmod(0o711)
        server = EmbeddedServer(host / "server")
        server.start()
        try:
            measure(server, str(host / "server"), asked.sizes, asked.rounds)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
