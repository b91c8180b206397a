"""Smoke asks the new revision on its tag's address, where no user sees it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_deploy import Platform, Service, StepRecord


@pytest.fixture
def service(platform: Platform, record: StepRecord) -> Iterator[Service]:
    """The candidate's address; where there is no candidate (smoke alone), the one that serves."""
    state = platform.runtime.state()
    tagged = [share.url for share in state.shares if share.tag == "candidate"]
    client = Service(tagged[0] if tagged else state.url, on_call=record.answered)
    yield client
    client.close()
