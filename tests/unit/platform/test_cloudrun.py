"""The stand-in's rules, asked with Google's own client and nothing of ours in between."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

from tests.unit.platform.conftest import COMMAND, Deployment, get

LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
BY_NAME = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION


def outcome(operation: Any, within_s: float = 20) -> Any:
    """What a long-running operation ended with, or Google's error of it."""
    return operation.result(timeout=within_s)


class Api:
    """Google's clients on the deployment's channel."""

    def __init__(self, deployment: Deployment) -> None:
        channel = deployment.platform.channel
        self.path = deployment.platform.runtime.service
        self.services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
        self.revisions = run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=channel))
        self.image = deployment.push("one")

    def read(self) -> run_v2.Service:
        return self.services.get_service(name=self.path)

    def update(self, service: run_v2.Service, *fields: str) -> Any:
        request = run_v2.UpdateServiceRequest(service=service, update_mask={"paths": list(fields)})
        return outcome(self.services.update_service(request=request))

    def template(self, **container: Any) -> run_v2.RevisionTemplate:
        return run_v2.RevisionTemplate(
            containers=[run_v2.Container(**{"image": self.image, "command": list(COMMAND), **container})]
        )

    def short(self, name: str) -> str:
        return name.rpartition("/")[2]


@pytest.fixture
def api(fresh: Deployment) -> Api:
    return Api(fresh)


def test_a_template_without_a_name_makes_a_revision_with_the_servers_name(api: Api) -> None:
    service = api.read()
    service.template = api.template()
    service.traffic = [run_v2.TrafficTarget(type_=LATEST, percent=100)]
    updated = api.update(service)
    assert updated.latest_ready_revision == updated.latest_created_revision
    assert updated.traffic_statuses[0].revision == api.short(updated.latest_ready_revision)
    assert get(updated.uri)["version"] == "one"
    assert not updated.reconciling
    assert updated.generation == updated.observed_generation


def test_an_unchanged_template_makes_no_revision(api: Api) -> None:
    before = api.read()
    after = api.update(before)
    assert after.latest_created_revision == before.latest_created_revision


def test_while_a_revision_starts_the_service_is_reconciling(api: Api) -> None:
    service = api.read()
    service.template = api.template(command=["python", "-c", "import time; time.sleep(0.5)"])
    operation = api.services.update_service(service=service)
    during = api.read()
    assert during.reconciling
    assert during.terminal_condition.state == run_v2.Condition.State.CONDITION_RECONCILING
    assert during.observed_generation < during.generation
    with pytest.raises(exceptions.FailedPrecondition, match="not ready"):
        outcome(operation)
    assert api.read().terminal_condition.state == run_v2.Condition.State.CONDITION_FAILED


def test_a_stale_etag_is_aborted(api: Api) -> None:
    stale = api.read()
    api.update(api.read(), "traffic")
    with pytest.raises(exceptions.Aborted, match="stale"):
        api.update(stale, "traffic")


def test_a_split_that_does_not_add_up_is_an_invalid_argument(api: Api) -> None:
    service = api.read()
    service.traffic[0].percent = 99
    with pytest.raises(exceptions.InvalidArgument, match="99, not to 100"):
        api.update(service, "traffic")


def test_what_infrastructure_code_owns_cannot_be_changed(api: Api) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="ingress"):
        api.update(api.read(), "ingress")


@pytest.mark.parametrize(
    "name, error",
    [("other-00002-abc", exceptions.InvalidArgument), ("tiny-00001-nil", exceptions.AlreadyExists)],
)
def test_a_revision_has_the_services_name_and_its_own(api: Api, name: str, error: type[Exception]) -> None:
    service = api.read()
    service.template = api.template()
    service.template.revision = name
    with pytest.raises(error):
        api.update(service, "template")


def test_an_operation_nobody_began_is_not_found(api: Api) -> None:
    with pytest.raises(exceptions.NotFound, match="operation x"):
        api.services.transport.operations_client.get_operation("x")


def test_an_http_probe_asks_for_an_answer_and_not_only_a_connection(api: Api) -> None:
    def probe(path: str) -> run_v2.Probe:
        return run_v2.Probe(http_get=run_v2.HTTPGetAction(path=path), period_seconds=1, failure_threshold=1)

    service = api.read()
    service.template = api.template(startup_probe=probe("/sick"))
    with pytest.raises(exceptions.FailedPrecondition, match="start-up probe"):
        api.update(service, "template")
    service = api.read()
    service.template = api.template(startup_probe=probe("/"))
    assert api.update(service, "template").terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED


@pytest.mark.parametrize(
    "container, reason",
    [
        ({"command": []}, "no command"),
        ({"command": ["/no/such/program"]}, "service.command: there is no /no/such/program"),
        (
            {"command": ["no-such-program"]},
            r"the program no-such-program was not found; looked in .* \(beside the interpreter\)",
        ),
        ({"command": ["app.py"]}, "the program app.py was not found"),
        ({"command": ["./app.py"]}, r"app\.py is no program: it may not be executed"),
        (
            {"env": [run_v2.EnvVar(name="KEY", value_source={"secret_key_ref": {"secret": "s", "version": "1"}})]},
            "KEY refers to a secret",
        ),
    ],
)
def test_what_this_platform_cannot_run_fails_with_the_reason(api: Api, container: dict[str, Any], reason: str) -> None:
    service = api.read()
    service.template = api.template(**container)
    with pytest.raises(exceptions.FailedPrecondition, match=reason):
        api.update(service, "template")


@pytest.mark.parametrize("program", ["python", "python3"])
def test_programs_beside_the_interpreter_are_found_and_their_own_come_first(api: Api, program: str) -> None:
    service = api.read()
    service.template = api.template(command=[program, "app.py"])
    service.traffic = [run_v2.TrafficTarget(type_=LATEST, percent=100)]

    updated = api.update(service)

    first = get(updated.uri)["env"]["PATH"].partition(os.pathsep)[0]
    assert first == str(Path(sys.executable).parent)


def test_more_containers_than_one_are_not_run(api: Api) -> None:
    service = api.read()
    service.template = api.template()
    service.template.containers.append(run_v2.Container(image=api.image))
    with pytest.raises(exceptions.FailedPrecondition, match="runs exactly one"):
        api.update(service, "template")


def test_a_tag_that_is_gone_answers_nothing_and_comes_back_where_it_was(fresh: Deployment) -> None:
    one = fresh.create("one")
    url = fresh.candidate_url
    fresh.platform.runtime.move({one.name: 100}, tags={}, deadline_s=5)
    answer = requests.get(url, timeout=5)
    assert (answer.status_code, answer.text) == (503, "tag candidate leads to no revision\n")
    fresh.create("two")
    assert fresh.candidate_url == url


def test_a_serving_revision_that_cannot_start_again_is_a_503_with_the_reason(fresh: Deployment) -> None:
    fragile = fresh.program(fresh.serve("fragile"))
    text = fragile.read_text()
    fragile.write_text("raise SystemExit(4)")
    requests.get(fresh.url + "/die", timeout=5)
    until = time.monotonic() + 10
    while "ended with 4" not in (answer := requests.get(fresh.url, timeout=10)).text:
        assert time.monotonic() < until, (
            answer.text
        )  # at first the old process may still take the connection, and die of it
    fragile.write_text(text)
    assert answer.status_code == 503
    assert get(fresh.url)["version"] == "fragile"


def test_a_secret_of_the_infrastructure_stays_beside_our_variables(api: Api, fresh: Deployment) -> None:
    """The plain variables are replaced, a reference is kept; that it cannot be run here shows that it was kept."""
    service = api.read()
    service.template = api.template(
        env=[
            run_v2.EnvVar(name="PLAIN", value="x"),
            run_v2.EnvVar(name="KEY", value_source={"secret_key_ref": {"secret": "s", "version": "1"}}),
        ]
    )
    with pytest.raises(exceptions.FailedPrecondition):
        api.update(service, "template")
    made = fresh.create("one", env={"KEY": "plain"})
    assert get(fresh.candidate_url)["env"]["KEY"] == "plain"
    assert "PLAIN" not in get(fresh.candidate_url)["env"]
    assert made.ready
