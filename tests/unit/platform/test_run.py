"""The Cloud Run code that production uses, through Google's client, against the stand-in and real processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from google.cloud import run_v2

from pytest_deploy.errors import PlatformUnavailable, RevisionFailed
from pytest_deploy.platform.embedded import connect
from pytest_deploy.platform.embedded.client import LocalPlatform
from pytest_deploy.platform.google.channels import loopback_channel
from pytest_deploy.platform.google.run import CloudRun, _answered
from tests.unit.platform.conftest import COMMAND, Deployment, get


def splits(deployment: Deployment) -> dict[str, int]:
    return {share.revision: share.percent for share in deployment.platform.runtime.state().shares if share.percent}


def test_a_service_nobody_deployed_to_serves_nothing(fresh: Deployment) -> None:
    answer = requests.get(fresh.url, timeout=5)
    assert (answer.status_code, answer.text) == (503, "no release serves here\n")
    placeholder = fresh.platform.runtime.state().sole_revision()
    assert placeholder is not None
    assert fresh.platform.runtime.revision(placeholder).annotations == {}


def test_a_new_revision_answers_on_its_tag_and_takes_no_traffic(fresh: Deployment) -> None:
    earlier = fresh.platform.runtime.state().sole_revision()
    revision = fresh.create("one")
    assert revision.ready
    assert revision.annotations == {"deploy.version": "one"}
    assert get(fresh.candidate_url)["version"] == "one"
    assert fresh.platform.runtime.state().sole_revision() == earlier
    assert requests.get(fresh.url, timeout=5).status_code == 503


def test_all_of_the_traffic_moves_to_the_revision_with_the_pushed_digest(fresh: Deployment) -> None:
    revision = fresh.create("one")
    state = fresh.platform.runtime.move({revision.name: 100}, tags={}, deadline_s=10)
    assert state.settled
    assert state.sole_revision() == revision.name
    assert get(state.url)["version"] == "one"
    image = fresh.platform.artefacts.find("one")
    assert image is not None
    assert fresh.platform.runtime.revision(revision.name).digest == image.partition("@")[2]


def test_the_first_release_goes_back_to_nothing(fresh: Deployment) -> None:
    placeholder = fresh.platform.runtime.state().sole_revision()
    assert placeholder is not None
    fresh.serve("one")
    fresh.platform.runtime.move({placeholder: 100}, tags={}, deadline_s=10)
    assert requests.get(fresh.url, timeout=5).status_code == 503


def test_a_revision_that_ends_at_its_start_fails_with_its_last_words(fresh: Deployment) -> None:
    good = fresh.serve("one")
    with pytest.raises(RevisionFailed, match="ended with 3") as failure:
        fresh.create("crashes")
    assert "no way to start" in failure.value.log
    assert not fresh.platform.runtime.revision(failure.value.revision).ready
    assert get(fresh.url)["version"] == "one"
    assert not fresh.platform.runtime.state().settled, "the wish still holds the tag of the failed revision"
    assert fresh.platform.runtime.move({good.name: 100}, tags={}, deadline_s=10).settled


def test_a_revision_that_never_listens_fails_at_the_end_of_its_probe(
    open_environment: Callable[..., Deployment],
) -> None:
    deployment = open_environment("deaf", startup_s=1)
    with pytest.raises(RevisionFailed, match=r"start-up probe .* within 1 s"):
        deployment.create("deaf")


def test_a_revision_is_not_waited_for_beyond_the_deadline(open_environment: Callable[..., Deployment]) -> None:
    deployment = open_environment("late", startup_s=2)
    with pytest.raises(RevisionFailed, match=r"not ready within 0.4 s"):
        deployment.create("deaf", deadline_s=0.4)


def test_a_rollback_need_not_wait_for_a_revision_that_still_starts(
    open_environment: Callable[..., Deployment],
) -> None:
    deployment = open_environment("hurry", startup_s=20)
    good = deployment.serve("one")
    with pytest.raises(RevisionFailed, match="not ready within"):
        deployment.create("deaf", deadline_s=0.3)
    assert deployment.platform.runtime.move({good.name: 100}, tags={}, deadline_s=10).settled


def test_traffic_that_does_not_come_in_time_is_told_with_what_serves(fresh: Deployment) -> None:
    """The revision was let go, and takes longer to start again than we wait."""
    slow = fresh.serve("slow")
    pid = get(fresh.url)["pid"]
    good = fresh.serve("one")
    until = time.monotonic() + 5
    while time.monotonic() < until and _alive(pid):
        time.sleep(0.02)
    with pytest.raises(PlatformUnavailable, match=rf"after 0.3 s there serves 100 % {good.name}"):
        fresh.platform.runtime.move({slow.name: 100}, tags={}, deadline_s=0.3)


def test_a_release_that_broke_does_not_keep_the_one_that_mends_it_from_coming(fresh: Deployment) -> None:
    broken = fresh.serve("brittle")
    fresh.program(broken).write_text("raise SystemExit(4)")
    requests.get(fresh.url + "/die", timeout=5)
    fresh.serve("two")
    assert get(fresh.url)["version"] == "two"


def test_traffic_to_a_revision_that_is_not_ready_yet_is_refused(open_environment: Callable[..., Deployment]) -> None:
    deployment = open_environment("patience", startup_s=20)
    good = deployment.serve("one")
    with pytest.raises(RevisionFailed, match="not ready within") as failure:
        deployment.create("deaf", deadline_s=0.3)
    runtime = deployment.platform.runtime
    with pytest.raises(PlatformUnavailable, match="not ready"):
        runtime.move({failure.value.revision: 100}, tags={}, deadline_s=0.5)
    assert splits(deployment) == {good.name: 100}


def test_an_image_that_was_never_pushed_makes_a_failed_revision(fresh: Deployment) -> None:
    with pytest.raises(RevisionFailed, match="never pushed"):
        fresh.platform.runtime.create(
            image=f"local/tiny@sha256:{'a' * 64}", env={}, tag="candidate", annotations={}, deadline_s=10
        )


def test_a_new_candidate_takes_the_tag_from_the_earlier_one(fresh: Deployment) -> None:
    fresh.create("one")
    second = fresh.create("two")
    tags = {share.tag: share.revision for share in fresh.platform.runtime.state().shares if share.tag}
    assert tags == {"candidate": second.name}
    assert get(fresh.candidate_url)["version"] == "two"


def test_a_split_sends_about_its_percents(fresh: Deployment) -> None:
    first = fresh.serve("one")
    second = fresh.create("two")
    fresh.platform.runtime.move({first.name: 90, second.name: 10}, tags={"candidate": second.name}, deadline_s=10)
    url = fresh.url
    with requests.Session() as session:
        versions = [session.get(url, timeout=5).json()["version"] for _ in range(200)]
    assert 2 <= versions.count("two") <= 50, "20 expected; outside this once in 10^7"
    assert splits(fresh) == {first.name: 90, second.name: 10}
    assert get(fresh.candidate_url)["version"] == "two"


@pytest.mark.parametrize("shares", [{"a": 90}, {"a": 60, "b": 60}, {"a": 110, "b": -10}])
def test_percents_that_are_no_split_are_refused_before_any_call(fresh: Deployment, shares: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="do not add up"):
        fresh.platform.runtime.move(shares, tags={}, deadline_s=1)


def test_traffic_to_a_revision_that_does_not_exist_changes_nothing(fresh: Deployment) -> None:
    good = fresh.serve("one")
    with pytest.raises(PlatformUnavailable, match="does not exist"):
        fresh.platform.runtime.move({"tiny-00099-zzz": 100}, tags={}, deadline_s=5)
    assert splits(fresh) == {good.name: 100}


def test_traffic_to_a_revision_that_never_was_ready_changes_nothing(fresh: Deployment) -> None:
    good = fresh.serve("one")
    with pytest.raises(RevisionFailed) as failure:
        fresh.create("crashes")
    with pytest.raises(PlatformUnavailable, match="not ready"):
        fresh.platform.runtime.move({failure.value.revision: 100}, tags={}, deadline_s=5)
    assert splits(fresh) == {good.name: 100}


def test_what_does_not_exist_is_named_with_a_remedy(fresh: Deployment) -> None:
    with pytest.raises(PlatformUnavailable, match=r"reading revision nobody: .*does not exist.*; check project"):
        fresh.platform.runtime.revision("nobody")
    elsewhere = CloudRun(fresh.platform.channel, "projects/local/locations/none/services/tiny")
    with pytest.raises(PlatformUnavailable, match="the service itself is made by the infrastructure code"):
        elsewhere.state()


def test_what_cloud_run_printed_is_not_read_and_the_place_says_how(fresh: Deployment) -> None:
    there = CloudRun(fresh.platform.channel, "projects/p/locations/us-east4/services/tiny")

    said = there.last_output("tiny-00002-abc", 7)

    assert said.lines == ()
    assert said.place == (
        """Cloud Logging, `gcloud logging read 'resource.type="cloud_run_revision" AND resource.labels.location="us-east4" """
        """AND resource.labels.service_name="tiny" AND resource.labels.revision_name="tiny-00002-abc"' """
        """--project=p --limit=7`"""
    )


def test_what_a_revision_printed_last_is_read_where_it_runs(fresh: Deployment) -> None:
    made = fresh.create("one")

    said = fresh.platform.runtime.last_output(made.name)

    assert said.lines == ("version one starts",)
    assert (fresh.checkout / said.place).read_text() == "version one starts\n"
    assert not said.place.startswith("/")


def test_the_address_of_a_tag_and_the_services_own_lead_to_their_revisions(fresh: Deployment) -> None:
    first = fresh.serve("one")
    second = fresh.create("two")
    state = fresh.platform.runtime.state()

    assert state.revision_at(state.url) == first.name
    assert state.revision_at(fresh.candidate_url) == second.name
    assert state.revision_at("http://127.0.0.1:1") is None


def test_behind_a_split_no_single_revision_answers(fresh: Deployment) -> None:
    first = fresh.serve("one")
    second = fresh.create("two")
    state = fresh.platform.runtime.move({first.name: 50, second.name: 50}, tags={}, deadline_s=10)

    assert state.revision_at(state.url) is None


def test_a_platform_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with loopback_channel(f"unix:{tmp_path}/nobody") as channel:
        runtime = CloudRun(channel, "projects/p/locations/l/services/s")
        with pytest.raises(PlatformUnavailable, match="try again when the platform answers"):
            runtime.state()


def test_an_unencrypted_channel_goes_nowhere_but_this_machine() -> None:
    with pytest.raises(ValueError, match="would not be encrypted"):
        loopback_channel("run.example.org:443")


def test_without_credentials_the_real_service_says_how_to_sign_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("HOME", str(tmp_path)), ("CLOUDSDK_CONFIG", str(tmp_path)), ("NO_GCE_CHECK", "true")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(PlatformUnavailable, match="gcloud auth application-default login"), _answered("signing in"):
        run_v2.ServicesClient()


class Meddler(grpc.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Does something in the instant between another's read and its write, the first `times` times."""

    def __init__(self, meddle: Callable[[], object], times: int = 1) -> None:
        self._meddle = meddle
        self._left = times

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        if client_call_details.method.endswith("UpdateService") and self._left:
            self._left -= 1
            self._meddle()
        return continuation(client_call_details, request)


def meddled(deployment: Deployment, meddler: Meddler) -> CloudRun:
    """The deployment's runtime with somebody in between."""
    return CloudRun(
        grpc.intercept_channel(deployment.platform.channel, meddler),
        deployment.platform.runtime.service,
        command=COMMAND,
        startup_s=10,
    )


def test_a_stale_read_is_repeated_where_the_split_is_as_it_was(fresh: Deployment) -> None:
    one = fresh.serve("one")
    image = fresh.push("two")
    same_again = Meddler(lambda: fresh.platform.runtime.move({one.name: 100}, tags={}, deadline_s=5))
    made = meddled(fresh, same_again).create(image=image, env={}, tag="candidate", annotations={}, deadline_s=10)
    assert made.ready
    assert splits(fresh) == {one.name: 100}


def test_a_stale_read_is_not_repeated_where_somebody_moved_the_traffic(fresh: Deployment) -> None:
    one = fresh.serve("one")
    two = fresh.create("two")
    other = Meddler(lambda: fresh.platform.runtime.move({two.name: 100}, tags={}, deadline_s=5))
    with pytest.raises(PlatformUnavailable, match="somebody else changed the traffic"):
        meddled(fresh, other).move({one.name: 50, two.name: 50}, tags={}, deadline_s=5)
    assert splits(fresh) == {two.name: 100}


def test_a_service_that_never_stands_still_is_given_up(fresh: Deployment) -> None:
    one = fresh.serve("one")
    restless = Meddler(lambda: fresh.platform.runtime.move({one.name: 100}, tags={}, deadline_s=5), times=99)
    with pytest.raises(PlatformUnavailable, match="another process changes this service"):
        meddled(fresh, restless).move({one.name: 100}, tags={}, deadline_s=5)


def test_a_revision_gets_its_variables_and_none_of_our_secrets(fresh: Deployment) -> None:
    fresh.create("one", env={"DATABASE_URL": "postgresql://x"})
    env = get(fresh.candidate_url)["env"]
    assert env["DATABASE_URL"] == "postgresql://x"
    assert (env["K_SERVICE"], env["K_CONFIGURATION"]) == ("tiny", "tiny")
    assert env["K_REVISION"].startswith("tiny-")
    assert os.environ["CANARY_SECRET"] == "canary"
    assert "canary" not in env.values()
    assert not [name for name in env if name.startswith(("PYTEST_CURRENT", "COVERAGE"))]


def test_requests_and_answers_pass_the_router_whole(fresh: Deployment) -> None:
    fresh.serve("one")
    body = os.urandom(3_000_000)
    assert requests.post(fresh.url, data=body, timeout=10).content == body
    said = requests.get(
        fresh.url + "/a%2Fb?c=%20d", headers={"X-Mine": "yes", "Connection": "X-Hop", "X-Hop": "1"}, timeout=5
    )
    assert said.json()["path"] == "/a%2Fb?c=%20d"
    assert said.json()["headers"]["X-Mine"] == "yes"
    assert "X-Hop" not in said.json()["headers"]
    assert said.json()["headers"]["X-Forwarded-For"] == "127.0.0.1"
    assert said.raw.headers.getlist("Set-Cookie") == ["a=1", "b=2"]


def test_an_answer_that_breaks_off_does_not_seem_whole(fresh: Deployment) -> None:
    fresh.serve("one")
    with pytest.raises(requests.RequestException):
        requests.get(fresh.url + "/torn", timeout=5)


def test_a_revision_that_falls_over_is_started_again_by_the_next_request(fresh: Deployment) -> None:
    fresh.serve("one")
    first = get(fresh.url)["pid"]
    assert requests.get(fresh.url + "/die", timeout=5).status_code == 503
    assert get(fresh.url)["pid"] != first


def test_a_request_in_flight_is_answered_by_the_revision_that_leaves(fresh: Deployment) -> None:
    fresh.serve("one")
    url = fresh.url
    two = fresh.create("two")
    said: list[dict[str, Any]] = []
    slow = threading.Thread(target=lambda: said.append(get(url, "/slow")))
    slow.start()
    time.sleep(0.2)
    fresh.platform.runtime.move({two.name: 100}, tags={}, deadline_s=5)
    assert get(url)["version"] == "two"
    slow.join()
    assert said[0]["version"] == "one"
    until = time.monotonic() + 5
    while time.monotonic() < until and _alive(said[0]["pid"]):
        time.sleep(0.05)
    assert not _alive(said[0]["pid"]), "what nothing leads to is stopped"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_rehearsal_never_meets_the_environment_it_rehearses(checkout: Path, fresh: Deployment, postgres: Any) -> None:
    fresh.serve("one")
    rehearsal = connect(
        checkout,
        environment=fresh.environment,
        service="tiny",
        command=COMMAND,
        rehearsal=True,
        database_url=postgres.conninfo(),
    )
    try:
        assert rehearsal.runtime.state().url != fresh.url
        assert rehearsal.database.owner != fresh.platform.database.owner
        assert requests.get(rehearsal.runtime.state().url, timeout=5).status_code == 503
    finally:
        rehearsal.close()


def test_two_clients_see_one_service(open_environment: Callable[..., Deployment]) -> None:
    first = open_environment("shared")
    revision = first.serve("one")
    second = open_environment("shared")
    assert second.platform.runtime.state() == first.platform.runtime.state()
    assert second.platform.runtime.revision(revision.name).annotations == {"deploy.version": "one"}
    assert isinstance(second.platform, LocalPlatform)
