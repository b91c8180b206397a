"""What refuses a start before the lease: an opening event too large to be written, a secret in what people sign."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.pipeline.open_run import refuse_secret_in_policy, require_room
from pytest_deploy.record.event import LIMIT
from pytest_deploy.record.events import RunOpened, parse
from tests.unit.record.sample_record import RunWriter, open_log, opened_data
from tests.unit.sample_environment import environment


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


def test_a_policy_that_people_sign_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be cut from the text that is kept, which then is not the text that was signed."""
    refuse_secret_in_policy(environment(tmp_path))

    monkeypatch.setenv("APP_TOKEN", "Deployment Manager")

    with pytest.raises(
        Refused, match=r"production holds the value of a secret \(APP_TOKEN\), and is kept as it is signed"
    ):
        refuse_secret_in_policy(environment(tmp_path))
