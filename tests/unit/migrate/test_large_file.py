"""A file of 100 MB of rows goes through, in memory that is bounded by its size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.migrate.sample_migrations import rows, text, write

ROW = "insert into visit values ({n}, 'a note of some length, as a form would hold it');\n"
BYTES = 100_000_000
APPLIES = """
import json, resource, sys
from pathlib import Path
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration_folder import read_migrations

migrations = read_migrations(Path(sys.argv[2]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
apply(sys.argv[1], migrations, actor="tester")
print(json.dumps([before * 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


@pytest.mark.scale
def test_a_file_of_100_mb_is_applied_in_sixteen_times_its_size_at_the_most(database: str, tmp_path: Path) -> None:
    visit = ("create table visit (id bigint primary key, note text);\n", "drop table visit;\n")
    count = BYTES // len(ROW)
    inserts = "".join(ROW.format(n=number) for number in range(count))
    folder = write(tmp_path, visit, text(inserts, "truncate visit;\n", "lossy they are invented"))
    process = subprocess.run(
        [sys.executable, "-c", APPLIES, database, str(folder)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    read, applied = json.loads(process.stdout)
    size = (folder / "0002_step_2.sql").stat().st_size
    assert rows(database, "select count(*) from visit") == [(count,)]
    assert read < 8 * size, f"reading took {read / size:.1f} times the file's size"
    assert applied < 16 * size, f"applying took {applied / size:.1f} times the file's size"
