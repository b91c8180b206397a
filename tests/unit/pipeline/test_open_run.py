"""A run is opened by an event that can be written: what does not fit is refused before the lease."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.pipeline.open_run import require_room
from pytest_deploy.record.event import LIMIT
from pytest_deploy.record.events import RunOpened, parse
from tests.unit.record.sample_record import RunWriter, open_log, opened_data


def opening(files: int) -> RunOpened:
    names = {f"suites/smoke/test_{number:04d}.py": f"{number:064x}" for number in range(files)}
    content = parse("run.opened", {**opened_data(), "preimages": names})
    assert isinstance(content, RunOpened)
    return content


def test_what_fits_is_opened(tmp_path: Path) -> None:
    require_room(opening(550))
    log = open_log(tmp_path)
    RunWriter(log).open(preimages=opening(550).preimages)

    assert len((log.store.get("log/00000002.event")).partition(b"\n")[0]) < LIMIT


def test_what_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(
        UsageError, match=r"takes 6\d{4} bytes in 650 names of files, .* put the steps .* into fewer files"
    ):
        require_room(opening(650))
