"""Which goes back first: policy decides, unless the earlier revision could not serve on the new schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.release.live import Baseline
from pytest_deploy.rollback.rollback import Order, order_of

BASELINE = Baseline("diary-00001", ("0001",), "a" * 64, "b" * 64, None)


def write(folder: Path, version: str, compatible: str) -> None:
    (folder / f"{version}_x.sql").write_text(
        f"-- deploy:compatible {compatible}\n-- migrate:up\ncreate table t{version} (id int);\n"
        f"-- migrate:down\ndrop table t{version};\n"
    )


@pytest.mark.parametrize("policy", ["traffic-first", "database-first"])
@pytest.mark.parametrize("compatible", ["expand", "contract"])
def test_policys_order_holds_where_the_earlier_revision_survives(
    tmp_path: Path, compatible: str, policy: Order
) -> None:
    write(tmp_path, "0001", "expand")
    write(tmp_path, "0002", compatible)

    assert order_of(policy, BASELINE, tmp_path) == policy


def test_a_breaking_migration_puts_the_database_first(tmp_path: Path) -> None:
    write(tmp_path, "0001", "expand")
    write(tmp_path, "0002", "breaking")

    assert order_of("traffic-first", BASELINE, tmp_path) == "database-first"


def test_one_that_was_applied_before_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "0001", "breaking")

    assert order_of("traffic-first", BASELINE, tmp_path) == "traffic-first"


def test_a_faulty_folder_does_not_stand_in_a_rollbacks_way(tmp_path: Path) -> None:
    (tmp_path / "not a migration.sql").write_text("")

    assert order_of("traffic-first", BASELINE, tmp_path) == "traffic-first"
