"""REQ-o00043-L: on the serving address too, users can log in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_deploy import Answer, Policy, StepRecord


@pytest.mark.requirement("REQ-o00043-L")
def test_user_can_log_in_at_the_serving_address(
    log_in: Callable[[], Answer], policy: Policy, record: StepRecord
) -> None:
    answer = log_in()

    record.expect(200, answer.status)
    assert answer.status == 200
    if not policy.replaced("health"):
        record.verified()
