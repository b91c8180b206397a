"""What refuses a start before the lease: an opening event too large to be written, a secret in what people sign."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.pipeline.open_run import refuse_secret_in_policy, refuse_unfit_rollback, require_room
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.event import LIMIT
from pytest_deploy.record.events import RunOpened, parse
from pytest_deploy.workspace import Workspace
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


@pytest.mark.parametrize(
    "sets, stated, says",
    [
        (("rollback.ticket=true",), {"reason": "", "ticket": ""}, "add --reason TEXT --ticket TEXT"),
        (("rollback.ticket=true",), {"reason": "log-in fails", "ticket": " "}, "add --ticket TEXT"),
        (('rollback.roles=["QA Lead"]',), {"reason": "", "ticket": ""}, "policy leaves the phase approval out"),
    ],
)
def test_a_rollback_states_what_policy_demands_and_somebody_can_be_asked(
    tmp_path: Path, sets: tuple[str, ...], stated: dict[str, str], says: str
) -> None:
    environment(tmp_path, "local")
    workspace = Workspace(tmp_path, "local")
    held = Environment(workspace, policy_of(workspace, sets), clock=SystemClock())

    with pytest.raises(Refused, match=says):
        refuse_unfit_rollback(held, RunContext(workspace, "rollback", reason=stated["reason"], ticket=stated["ticket"]))

    assert not (tmp_path / "reports").exists(), "nothing was written"


def test_where_nothing_was_deployed_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    held = environment(tmp_path, "local")

    with pytest.raises(UsageError, match="local has no record: nothing was deployed that could be gone back to"):
        refuse_unfit_rollback(held, RunContext(held.workspace, "rollback"))


def test_a_policy_that_people_sign_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be cut from the text that is kept, which then is not the text that was signed."""
    refuse_secret_in_policy(environment(tmp_path))

    monkeypatch.setenv("APP_TOKEN", "Deployment Manager")

    with pytest.raises(
        Refused, match=r"production holds the value of a secret \(APP_TOKEN\), and is kept as it is signed"
    ):
        refuse_secret_in_policy(environment(tmp_path))
