"""People are told how a run began and ended, by a real web hook; a channel that is down changes no outcome and is asked again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.http_stand_in import JsonHandler, serving
from tests.project_checkout import Checkout
from tests.stories.story_assertions import Deployed

OCCASIONS = "[started, succeeded, rolled-back, needs-a-person]"
ROUTES = f"""
    notify:
      - {{to: team, occasions: {OCCASIONS}, url_variable: TEAM_CHANNEL_URL}}
      - {{to: incident response, occasions: [rolled-back], url_variable: INCIDENT_CHANNEL_URL}}
"""
TOKEN = "T0KEN-of-a-web-hook-nobody-may-read"


@dataclass
class Hook:
    address: str = ""
    is_down: bool = False
    taken: list[tuple[str, str]] = field(default_factory=list)
    """Path and subject."""
    bodies: list[str] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()

    class Handler(JsonHandler):
        def do_POST(self) -> None:
            body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if made.is_down:
                self.answer(503)
                return
            made.taken.append((self.path.split("/")[1], body["title"]))
            made.bodies.append(body["message"])
            self.answer(200, {})

    with serving(Handler) as address:
        made.address = address.replace("http://", "json://")
        yield made


def tell(checkout: Checkout, hook: Hook) -> dict[str, str]:
    """Let local's policy name two routes; their variables."""
    policy = checkout.path / "deploy.yaml"
    text = policy.read_text(encoding="utf-8")
    head, mark, rest = text.partition("\n  local:\n")
    assert mark, "deploy.yaml has no environment local"
    policy.write_text(f"{head}{mark}{ROUTES.lstrip(chr(10))}{rest}", encoding="utf-8")
    checkout.commit("Somebody is told")
    return {
        "TEAM_CHANNEL_URL": f"{hook.address}/team/{TOKEN}",
        "INCIDENT_CHANNEL_URL": f"{hook.address}/incident/{TOKEN}",
    }


def test_a_release_and_a_rollback_are_told_to_those_whom_policy_names(deployed: Deployed, hook: Hook) -> None:
    checkout = deployed.checkout
    variables = tell(checkout, hook)

    ran = checkout.deploy(env=variables)

    assert ran.code == 0, ran.said
    version = checkout.said("run.opened")[0]["version"]
    assert hook.taken == [
        ("team", f"started: deploy of {version} to local"),
        ("team", f"deployed: deploy of {version} to local"),
    ]
    assert "anchor    tlog deploy.example.org/local " in hook.bodies[-1]
    assert f"report    reports/local/runs/{checkout.last_run()}/report.html" in hook.bodies[-1]
    deployed.standing = checkout.standing()

    hook.taken.clear()
    ran = checkout.deploy("--deploy-set=service.env.FAULT=crud", env=variables)

    deployed.assert_rolled_back(ran)
    assert [(path, subject.partition(":")[0]) for path, subject in hook.taken] == [
        ("team", "started"),
        ("team", "rolled-back"),
        ("incident", "rolled-back"),
    ]
    assert "cause     smoke failed" in hook.bodies[-1]
    assert TOKEN not in ran.said
    assert not any(TOKEN.encode() in content for content in checkout.bytes_below("reports").values())


def test_a_channel_that_is_down_changes_no_outcome_and_is_told_later(deployed: Deployed, hook: Hook) -> None:
    checkout = deployed.checkout
    variables = tell(checkout, hook)
    hook.is_down = True

    ran = checkout.deploy(env=variables)

    assert ran.code == 0, ran.said
    assert "team was not told (" in ran.stdout
    assert "503" in ran.stdout
    deployed.standing = checkout.standing()
    hook.is_down = False

    later = checkout.deploy_py("notify", "local", env=variables)

    assert later.code == 0, later.said
    version = checkout.said("run.opened")[0]["version"]
    assert [subject.partition(":")[0] for _, subject in hook.taken if version in subject] == ["started", "deployed"]
    told = len(hook.taken)
    again = checkout.deploy_py("notify", "local", env=variables)
    assert (again.code, len(hook.taken)) == (0, told), again.said
    verified = checkout.deploy_py("verify", "reports/local")
    assert verified.code == 0, verified.said


@pytest.mark.faults
def test_a_variable_that_is_not_set_is_said_by_name_and_changes_no_outcome(deployed: Deployed, hook: Hook) -> None:
    checkout = deployed.checkout
    tell(checkout, hook)

    ran = checkout.deploy()

    assert ran.code == 0, ran.said
    assert "TEAM_CHANNEL_URL is not set" in ran.stdout
    deployed.standing = checkout.standing()
