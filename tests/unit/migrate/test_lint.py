"""What squawk finds in the way up, on the file's own lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.lint import lint
from tests.unit.migrate.sample_migrations import FIVE, VISIT, sample, text


def test_a_sound_migration_is_given_no_finding_about_what_the_runner_does(tmp_path: Path) -> None:
    assert lint(sample(tmp_path, *FIVE[:1])) == ()


def test_an_error_blocks_on_its_line_of_the_file(tmp_path: Path) -> None:
    (finding,) = lint(sample(tmp_path, text("create table a (\n  id int\n", "drop table a;\n")))
    assert (finding.line, finding.rule, finding.blocks) == (4, "syntax-error", True)
    assert str(finding.fault()).startswith(f"{tmp_path / '0001_step_1.sql'}:4: syntax-error: ")


def test_a_warning_is_told_and_does_not_block(tmp_path: Path) -> None:
    (finding,) = lint(sample(tmp_path, text("create table a (\n  n smallint\n);\n", "drop table a;\n")))
    assert (finding.line, finding.rule, finding.blocks) == (4, "prefer-bigint-over-smallint", False)
    assert finding.accepted is None


def test_what_is_accepted_carries_its_reason(tmp_path: Path) -> None:
    accepted = "accept prefer-bigint-over-smallint a score is 0 to 10"
    (finding,) = lint(sample(tmp_path, text("create table a (n smallint);\n", "drop table a;\n", accepted)))
    assert (finding.accepted, finding.blocks) == ("a score is 0 to 10", False)


def test_the_way_down_is_not_judged(tmp_path: Path) -> None:
    assert lint(sample(tmp_path, text(VISIT[0], "drop table a (((;\n"))) == ()


def test_a_settings_file_does_not_hide_a_finding(tmp_path: Path) -> None:
    (tmp_path / ".squawk.toml").write_text('excluded_rules = ["prefer-bigint-over-smallint"]\n', encoding="utf-8")
    assert len(lint(sample(tmp_path, text("create table a (n smallint);\n", "drop table a;\n")))) == 1


def test_an_index_outside_a_transaction_may_be_concurrent(tmp_path: Path) -> None:
    section = ("create index concurrently a on b (c);\n", "drop index concurrently a;\n")
    outside = text(*section, "outside-transaction it is big", options=" transaction:false")
    assert [finding for finding in lint(sample(tmp_path, outside)) if finding.blocks] == []


def test_no_squawk_and_no_answer_are_both_refused(tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT)
    with pytest.raises(PlatformUnavailable, match="pip install squawk-cli"):
        lint(migrations, program=str(tmp_path / "squawk"))
    with pytest.raises(PlatformUnavailable, match=r"squawk gave no answer on .*0001_step_1\.sql"):
        lint(migrations, program="true")
