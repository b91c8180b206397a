"""A service's name, made fit for deploy.yaml, Cloud Run and PostgreSQL."""

from __future__ import annotations

import pytest

from pytest_deploy.starter.service_name import made_fit


@pytest.mark.parametrize(
    "given, fit",
    [
        ("parcels", "parcels"),
        ("Größe_API 2", "grosse-api-2"),
        ("7-eleven", "eleven"),
        ("--a--b--", "a-b"),
        ("a" * 60, "a" * 30),
        ("a" * 29 + "-b", "a" * 29),
        ("日本", ""),
        ("42", ""),
    ],
)
def test_a_name_is_made_fit(given: str, fit: str) -> None:
    assert made_fit(given) == fit
