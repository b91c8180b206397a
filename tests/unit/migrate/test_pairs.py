"""The two-file layout, from the trial to the way back: what its rollback file declares for itself is what happens."""

from __future__ import annotations

from pathlib import Path

from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.trial import run_trial
from tests.unit.migrate.sample_migrations import ACTOR, INDEX, VISIT, exists


def pair(folder: Path, version: str, up: str, down: str, declared: str = "") -> None:
    (folder / "rollback").mkdir(exist_ok=True)
    (folder / f"{version}_step.sql").write_text(
        f"-- deploy:compatible expand\n-- deploy:lossy it goes\n{up}", encoding="utf-8"
    )
    (folder / "rollback" / f"{version}_rollback.sql").write_text(declared + down, encoding="utf-8")


def test_a_way_down_outside_a_transaction_is_tried_and_undone(each_database: str, tmp_path: Path) -> None:
    pair(tmp_path, "001", *VISIT)
    reason = "-- deploy:outside-transaction readers go on\n"
    pair(tmp_path, "002", INDEX[0], "drop index concurrently visit_note;\n", reason)
    migrations = read_migrations(tmp_path)
    apply(each_database, migrations[:1], actor=ACTOR)
    trial = run_trial(each_database, migrations, actor=ACTOR)
    apply(each_database, migrations, actor=ACTOR)
    assert exists(each_database, "visit_note")
    (undone,) = roll_back(each_database, migrations, to=["001"], actor=ACTOR, expected_schema=trial.before)
    assert (undone.version, exists(each_database, "visit_note")) == ("002", False)
