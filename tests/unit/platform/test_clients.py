"""What the suites' clients show and keep to themselves."""

from __future__ import annotations

from pytest_deploy.platform.clients import Answer


def test_no_assertion_shows_what_a_service_answered() -> None:
    assert repr(Answer(200, {"text": "a subject's words"}, 0.1)) == "Answer(status=200, seconds=0.1)"
