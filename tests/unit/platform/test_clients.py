"""What the suites' clients show and keep to themselves; a call ends in time, whatever answers, and takes no more memory than was agreed."""

from __future__ import annotations

import hashlib
import signal
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from pytest_deploy.bounded_http import AnswerTooLarge, AnswerTooLate
from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.clients import Answer, Service
from tests.unwell_service import UnwellService, unwell_service


@pytest.fixture(scope="module")
def unwell() -> Iterator[UnwellService]:
    with unwell_service() as service:
        yield service


@pytest.fixture
def calls() -> list[tuple[str, float, int]]:
    return []


@pytest.fixture
def service(unwell: UnwellService, calls: list[tuple[str, float, int]]) -> Iterator[Service]:
    client = Service(unwell.url, on_call=lambda *call: calls.append(call))
    yield client
    client.close()


def test_a_whole_answer_is_given_with_its_length_and_digest(
    service: Service, calls: list[tuple[str, float, int]]
) -> None:
    answer = service.call("GET", "/well")

    assert (answer.status, answer.body, answer.ok) == (200, {"status": "ok"}, True)
    assert (answer.length, answer.sha256) == (16, hashlib.sha256(b'{"status": "ok"}').hexdigest())
    assert service.call("GET", "/notjson").body == "all is well"
    assert [(label, status) for label, _, status in calls] == [("GET /well", 200), ("GET /notjson", 200)]


@pytest.mark.parametrize("path", ["/trickle", "/dribble", "/slow?s=9"])
def test_an_answer_that_is_not_whole_in_time_is_none(
    service: Service, calls: list[tuple[str, float, int]], path: str
) -> None:
    """A byte now and then is no answer, neither in the body nor before it."""
    began = time.monotonic()

    with pytest.raises(AnswerTooLate, match=r"no whole answer within 0\.6 s"):
        service.call("GET", path, deadline_s=0.6)

    assert 0.5 < time.monotonic() - began < 3
    assert [(label, status) for label, _, status in calls] == [(f"GET {path}", 0)]
    assert service.call("GET", "/well").ok, "the next call is one of its own"


def test_a_stopped_process_is_no_answer_in_time() -> None:
    with unwell_service() as own:
        client = Service(own.url)
        own.send(signal.SIGSTOP)

        with pytest.raises(AnswerTooLate):
            client.call("GET", "/well", deadline_s=0.5)

        own.send(signal.SIGCONT)
        assert client.call("GET", "/well").ok
        client.close()


def test_400_mb_end_the_call_at_the_cap(service: Service, calls: list[tuple[str, float, int]]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLarge, match="is longer than 1,000,000 bytes") as refused:
            service.call("GET", "/big?bytes=400000000", limit_bytes=1_000_000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 4_000_000
    assert hashlib.sha256(b"x" * 1_000_000).hexdigest() in str(refused.value)
    assert [status for _, _, status in calls] == [0]


def test_a_body_of_just_the_cap_is_an_answer(service: Service) -> None:
    assert service.call("GET", "/big?bytes=70000", limit_bytes=70_000).length == 70_000
    with pytest.raises(AnswerTooLarge):
        service.call("GET", "/big?bytes=70001", limit_bytes=70_000)


def test_half_an_answer_is_none(service: Service) -> None:
    with pytest.raises(PlatformUnavailable, match="/torn: no answer") as refused:
        service.call("GET", "/torn")

    assert not isinstance(refused.value, AnswerTooLate | AnswerTooLarge)


def test_nobody_at_the_address_is_no_answer() -> None:
    with unwell_service() as gone:
        pass
    client = Service(gone.url)

    with pytest.raises(PlatformUnavailable, match=r"no answer \(ConnectionError\)"):
        client.call("GET", "/well")
    client.close()


def test_no_assertion_shows_what_a_service_answered() -> None:
    assert repr(Answer(200, {"text": "a subject's words"}, 0.1)) == "Answer(status=200, seconds=0.1)"
