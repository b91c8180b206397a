"""What the page of a CI job shows of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.reports import job_summary


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def test_outside_a_job_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for value in (None, ""):
        if value is None:
            monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        else:
            monkeypatch.setenv("GITHUB_STEP_SUMMARY", value)
        job_summary.add("local: deployed", ["deployed in 3 s"])

    assert list(tmp_path.iterdir()) == []


def test_a_run_is_added_to_what_stands_there(page: Path) -> None:
    page.write_text("# before\n", encoding="utf-8")

    job_summary.add("local: deployed", ["deployed in 3 s", "anchor    tlog x 1 y"])

    assert page.read_text(encoding="utf-8") == (
        "# before\n### local: deployed\n\n```text\ndeployed in 3 s\nanchor    tlog x 1 y\n```\n\n"
    )


def test_no_text_of_an_error_ends_the_block_that_it_stands_in(page: Path) -> None:
    job_summary.add("local: failed", ["```", "<script>alert(1)</script>", "`````"])

    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[2] == "``````text"
    assert lines[3:6] == ["```", "<script>alert(1)</script>", "`````"]
    assert lines[6] == "``````"


def test_it_stays_below_what_github_takes(page: Path) -> None:
    for _ in range(3):
        job_summary.add("local: failed", ["ü" * 400_000])

    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) <= job_summary.MOST_BYTES
    assert text.count("### local: failed") == 2
    assert text.rstrip().endswith("… cut: the report has it whole\n```")
