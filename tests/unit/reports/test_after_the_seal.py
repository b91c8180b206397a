"""What is asked only to be printed raises nothing, whatever a platform or a driver raises."""

from __future__ import annotations

from typing import Any, cast

import psycopg
import pytest

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.environment import Environment
from pytest_deploy.reports import seal


class GoneEnvironment:
    """An environment whose platform no longer answers."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    @property
    def platform(self) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error, said",
    [
        (psycopg.OperationalError("server closed\nthe connection"), "not known: server closed the connection"),
        (PlatformUnavailable("nobody answers"), "not known: nobody answers"),
        (RuntimeError(), "not known: RuntimeError"),
    ],
)
def test_a_platform_that_is_gone_serves_nothing_that_is_known(error: Exception, said: str) -> None:
    assert seal.serving_now(cast("Environment", GoneEnvironment(error))) == said
