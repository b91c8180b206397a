"""What the service printed last stands beside a step that failed on it: in the terminal and in the record, once, and cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pytest_deploy.plugin.service_output import TITLE
from tests.child_process import Ran
from tests.project_checkout import QUICK, Checkout
from tests.stories.story_assertions import assert_ended

CANARY = "canary-5b1f07aa9c33"
SERVE = f"""\
#!/bin/sh
# Starts what it is told, and goes on printing beside it.
(while sleep 0.05; do echo "still here, {CANARY}"; done) &
exec "$@"
"""
STEPS = '''\
"""Steps that fail: one asks the service, one does not."""

import pytest


@pytest.fixture
def page(service):
    return service.call("GET", "/no-such-page")


def test_asks_the_service(page):
    assert page.status == 200


def test_asks_nobody():
    assert False
'''
ASKS, NOBODY = (f"suites/smoke/test_printed.py::{name}" for name in ("test_asks_the_service", "test_asks_nobody"))
SUMMARY = "short test summary info"
"""From here on pytest says a failure once more, whole where CI is set."""


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose service prints, started by a program of its own, and whose smoke has two steps that fail."""
    with Checkout.open(tmp_path_factory.mktemp("talking")) as made:
        made.write("examples/diary/serve", SERVE).chmod(0o755)
        written = (made.path / "deploy.yaml").read_text(encoding="utf-8")
        served = "command: [./serve, python, -m, diary]"
        made.write("deploy.yaml", written.replace("command: [python, -m, diary]", served))
        made.write("suites/smoke/test_printed.py", STEPS)
        wrote = made.deploy_py("steps", "--write")
        assert wrote.code == 0, wrote.said
        made.commit("A service that prints")
        yield made


def messages(checkout: Checkout) -> Mapping[str, str]:
    """What each failed step of the last run said, by node id."""
    finished = [event for event in checkout.events(checkout.last_run()) if event.type == "step.finished"]
    failed: list[Mapping[str, Any]] = [event.data for event in finished if event.data["outcome"] in {"failed", "error"}]
    return {data["nodeid"]: data["message"] for data in failed}


def nowhere(checkout: Checkout, ran: Ran, text: str) -> bool:
    """Whether neither the terminal nor a file of the record has it."""
    files = [path for path in checkout.store.rglob("*") if path.is_file()]
    assert files
    return text not in ran.said and not [path for path in files if text.encode() in path.read_bytes()]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_step_that_failed_on_the_service_shows_what_it_printed_last_without_secrets(
    talking: Checkout, workers: tuple[str, ...]
) -> None:
    ran = talking.deploy(*workers, env={"CANARY_TOKEN": CANARY})

    assert_ended(talking, ran, code=1, outcome="rolled-back")
    said = messages(talking)
    assert set(said) == {ASKS, NOBODY}
    head, *lines = said[ASKS].partition(f"\n{TITLE}")[2].splitlines()
    (revision,) = (data["revision"] for data in talking.said("revision.deployed"))
    assert head == f" ({revision}):"
    assert len(lines) == 20 + 1
    assert "still here, [CANARY_TOKEN]" in lines
    assert lines[-1] == f"(the end of .deploy/platform/local/diary/logs/{revision}.log)"
    assert TITLE not in said[NOBODY]
    assert ran.stdout.count(TITLE) == 1, ran.said
    assert "still here, [CANARY_TOKEN]" in ran.stdout
    log = talking.path / ".deploy" / "platform" / "local" / "diary" / "logs" / f"{revision}.log"
    assert CANARY in log.read_text(encoding="utf-8")
    assert nowhere(talking, ran, f"here, {CANARY}")


def test_where_rows_may_be_subjects_no_line_is_shown_only_where_they_lie(talking: Checkout) -> None:
    seen = talking.rehearsing("development")

    ran = talking.run("--deploy-env=development", "--deploy-rehearse", *QUICK, "--deploy-set=traffic.settle_s=0")

    assert ran.code == 1, ran.said
    said = messages(seen)[ASKS]
    (revision,) = (data["revision"] for data in seen.said("revision.deployed"))
    assert said.endswith(
        f"\n{TITLE} ({revision}):\nits last lines are held back, for they may hold a subject's data; "
        f"they lie in .deploy/platform/development.rehearsal/diary/logs/{revision}.log"
    )
    assert "they lie in" in ran.stdout
    assert nowhere(seen, ran, "still here")


def test_a_revision_that_does_not_start_shows_its_last_lines_once_and_no_client_code(talking: Checkout) -> None:
    ran = talking.deploy('--deploy-set=service.command=["sh", "-c", "echo no way to start; exit 3"]')

    assert_ended(talking, ran, code=1, outcome="rolled-back")
    (said,) = messages(talking).values()
    assert said.endswith("before it listened on PORT=" + said.rpartition("PORT=")[2])
    assert said.count("no way to start") == 1
    shown = ran.stdout.partition(SUMMARY)[0]
    assert shown.count("\nE   no way to start") + shown.count("no way to start\n") == 1, ran.said
    assert "google/api_core" not in ran.stdout


def test_a_program_that_is_not_there_is_named_with_where_was_looked(talking: Checkout) -> None:
    ran = talking.deploy('--deploy-set=service.command=["no-such-program"]')

    assert_ended(talking, ran, code=1, outcome="rolled-back")
    (said,) = messages(talking).values()
    assert "service.command: the program no-such-program was not found; looked in " in said
    assert ran.stdout.partition(SUMMARY)[0].count("Install it into the environment that runs the deployment") == 1, (
        ran.said
    )
