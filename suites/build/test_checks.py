"""REQ-o00043-E: lint, type check and tests of the service, as deploy.yaml names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pytest_deploy import Policy

Check = Callable[[Sequence[str]], None]

pytestmark = [pytest.mark.requirement("REQ-o00043-E"), pytest.mark.step(timeout=600)]


def test_lint_finds_nothing(check: Check, policy: Policy) -> None:
    check(policy.service.checks.lint)


def test_types_are_sound(check: Check, policy: Policy) -> None:
    check(policy.service.checks.types)


def test_unit_tests_pass(check: Check, policy: Policy) -> None:
    check(policy.service.checks.tests)
